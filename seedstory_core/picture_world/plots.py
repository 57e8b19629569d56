"""What may happen next: arcs of steps, chained without end, and the clock and the sky."""

from __future__ import annotations

import random
from collections.abc import Sequence

from .chance import mix, pick
from .effects import State
from .scene import CAST, INDOORS, PLACES, PROPS, TIMES, WEATHERS, Scene
from .steps import STEPS, Wish

#: (weight, steps); a step that is impossible when its turn comes is passed over.
ARCS: tuple[tuple[float, tuple[str, ...]], ...] = (
    (1.0, ("go", "play", "feel", "see", "take")),
    (1.4, ("go", "see", "feel", "take", "play", "go", "play")),
    (2.0, ("meet", "social", "go", "see", "take", "social", "leave")),
    (0.9, ("meet", "help", "social", "go", "leave")),
    (1.2, ("see", "take", "play", "go", "play")),
    (1.2, ("see", "take", "meet", "give", "play", "go")),
    (1.4, ("bring", "social", "give", "play", "go")),
    (1.5, ("lose", "search", "comfort", "go", "search", "find", "take", "glad")),
    (0.8, ("lose", "search", "foundby", "glad", "give", "play", "go")),
    (0.9, ("give", "play", "glad", "go")),
    (0.8, ("put", "home", "bake", "meet", "join", "eat", "glad", "go")),
    (0.4, ("put", "play", "take", "go")),
    (2.2, ("leave", "feel", "go", "see", "take", "play")),
    (0.6, ("social", "social")),
    (3.0, ("meet", "social", "join", "social", "go", "social", "leave", "play", "leave")),
)


#: How a thing comes into play.
BEGINNINGS = (("see", "take", "play"), ("see", "feel", "take"), ("bring", "social", "give"))
#: What becomes of a thing that was held for long.
ENDINGS = (
    ("eat", "give", "play"),
    ("eat", "give", "put", "go"),
    ("eat", "lose", "search", "go", "search", "find", "take", "glad"),
    ("eat", "lose", "search", "foundby", "glad", "give"),
    ("eat", "put", "glad", "go"),
)
#: What a place, a time or a weather asks for.
USEFUL = {
    "rain": "umbrella",
    "night": "lantern",
    "kitchen": "basket",
    "beach": "ball",
    "mountain": "kite",
    "meadow": "kite",
    "village": "key",
    "lake": "key",
    "garden": "key",
    "forest": "book",
}


class Plot:
    """Chooses steps and turns them into wishes.

    Args:
        cast: who may be told of.
    """

    def __init__(self, rng: random.Random, cast: Sequence[str] = CAST) -> None:
        self.rng, self.cast = rng, tuple(cast)
        self.lead = pick(rng, self.cast)
        self.steps: list[str] = []
        self.last_props: list[str] = []
        self.places: list[str] = []
        self.since = {"time": 0, "weather": 0, "prop": 0, "company": 0}
        self.sad: str | None = None
        self.limits = {"time": 4, "weather": 6, "prop": 8, "company": 4}

    def opening(self) -> tuple[State, list[Wish]]:
        """Where, when and with whom it begins; the state holds the facts to be told."""
        place, time = pick(self.rng, PLACES), pick(self.rng, TIMES)
        weather = pick(self.rng, (*WEATHERS, "clear"))
        self.places.append(place)
        others = mix(self.rng, [name for name in self.cast if name != self.lead])
        state = State(place, time, weather)
        if self.rng.random() < 0.35 and others:
            return state, [Wish("open2", all=mix(self.rng, (self.lead, others[0])))]
        if self.rng.random() < 0.4:
            return state, [Wish("openwith1", self.lead, prop=pick(self.rng, PROPS))]
        return state, [Wish("open1", self.lead)]

    def next_step(self, state: State) -> str:
        """The next step; sky and clock come first when they are due."""
        asleep = bool(state.asleep)
        if self.sad and not asleep and len(state.here or ()) > 1 and self.rng.random() < 0.8:
            return "cheer"
        if not asleep and self.since["time"] >= self.limits["time"] and state.time != "night":
            return "dusk"
        if state.time == "night" and self.since["time"] >= 3 and not asleep:
            return "sleep"
        if asleep and state.time == "night":
            return "sleeping" if self.rng.random() < 0.42 else "morning"
        if asleep:
            return "wake"
        if state.time == "day" and not self.since["time"] and state.prop:
            return "take" if self.rng.random() < 0.8 else "go"
        if self.since["weather"] >= self.limits["weather"]:
            return "weather"
        alone = len(state.here or ()) < 2
        if alone and self.since["company"] >= self.limits["company"]:
            self.since["company"] = 0
            self.steps = ["meet", "social", *self.steps]
        elif state.holder and self.since["prop"] >= self.limits["prop"]:
            self.since["prop"] = 0
            self.steps = list(pick(self.rng, ENDINGS))
        elif state.prop is None and self.since["prop"] >= 3:
            self.since["prop"] = 0
            self.steps = [*pick(self.rng, BEGINNINGS), *self.steps]
        elif self.rng.random() < 0.12:
            return "play"
        if not self.steps:
            bare = state.prop is None and self.rng.random() < 0.4
            self.steps = list(pick(self.rng, BEGINNINGS) if bare else self._arc())
        return self.steps.pop(0)

    def _arc(self) -> tuple[str, ...]:
        total = sum(weight for weight, _ in ARCS)
        left = self.rng.random() * total
        for weight, steps in ARCS:
            left -= weight
            if left <= 0:
                return steps
        return ARCS[0][1]

    def passed(self, before: State, after: State, scene: Scene) -> None:
        """Take note of a told panel."""
        times = (7, 10) if after.time == "day" else (3, 5)
        for what, low, high in (("time", *times), ("weather", 6, 10)):
            changed = getattr(before, what) != getattr(after, what)
            self.since[what] = 0 if changed else self.since[what] + 1
            if changed:
                self.limits[what] = low + int(self.rng.random() * (high - low + 1))
        if after.place and after.place != before.place:
            self.places.append(after.place)
        if after.prop and after.prop != before.prop:
            self.last_props.append(after.prop)
        moved = after.holder != before.holder or after.prop != before.prop
        self.since["prop"] = 0 if moved else self.since["prop"] + 1
        grown = len(after.here or ()) > 1
        self.since["company"] = 0 if grown else self.since["company"] + 1
        self.limits["company"] = 5 + int(self.rng.random() * 5)
        self.sad = next((actor.name for actor in scene.actors if actor.mood == "sad"), None)
        if after.here and self.lead not in after.here:
            self.lead = after.here[0]

    def wishes(self, step: str, state: State) -> list[Wish]:
        """Sentences that would tell this step now; none if it is impossible."""
        return STEPS[step](self, state)

    def others(self, state: State) -> tuple[str, ...]:
        """Company of the lead, in random order."""
        return mix(self.rng, [name for name in state.here or () if name != self.lead])

    def strangers(self, state: State) -> tuple[str, ...]:
        """Who could come."""
        here = state.here or ()
        return mix(self.rng, [name for name in self.cast if name not in here])

    def new_prop(self, state: State) -> str:
        """A thing that was not told of lately; often one that the place or the sky asks for."""
        recent = (*self.last_props[-4:], state.prop)
        for fact in (state.weather, state.time, state.place):
            prop = USEFUL.get(fact or "")
            if prop and prop not in recent and self.rng.random() < 0.1:
                return prop
        return pick(self.rng, [prop for prop in PROPS if prop not in recent])

    def new_place(self, state: State) -> str:
        recent = (*self.places[-4:], state.place)
        places = [place for place in PLACES if place not in recent]
        outdoors = [place for place in places if place not in INDOORS]
        return pick(self.rng, outdoors if self.rng.random() < 0.4 else places)
