"""What may happen next: the steps of a story, and arcs that chain them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .meaning import NEXT_TIME, State
from .scene import CAST, INDOORS, PLACES, PROPS, TIMES, WEATHERS, Scene

T = TypeVar("T")


def pick(rng: random.Random, choices: Sequence[T]) -> T:
    """One of ``choices``; uses nothing but ``rng.random()``, which no Python version changes."""
    return choices[int(rng.random() * len(choices))]


def mix(rng: random.Random, values: Sequence[T]) -> tuple[T, ...]:
    """``values`` in random order."""
    rest, mixed = list(values), []
    while rest:
        mixed.append(rest.pop(int(rng.random() * len(rest))))
    return tuple(mixed)


@dataclass(frozen=True)
class Wish:
    """A sentence to be told: its kind, who plays the roles, and which words the slots get."""

    kind: str
    a: str | None = None
    b: str | None = None
    all: tuple[str, ...] = ()
    prop: str | None = None
    place: str | None = None


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


def _go(plot: Plot, state: State, place: str | None = None) -> list[Wish]:
    place = place or plot.new_place(state)
    others = plot.others(state)
    home = place == "kitchen"
    if not others:
        if state.holder == plot.lead:
            return [Wish("gowith1", plot.lead, prop=state.prop, place=place)]
        return [Wish("gohome1" if home else "go1", plot.lead, place=place)]
    if state.holder and len(others) == 1:
        other = next(n for n in (plot.lead, *others) if n != state.holder)
        return [Wish("gowith2", state.holder, other, prop=state.prop, place=place)]
    group = mix(plot.rng, (plot.lead, *others))
    pair = (None, None) if len(group) > 2 else group
    return [Wish("gohome2" if home else "go2", *pair, all=group, place=place)]


def _home(plot: Plot, state: State) -> list[Wish]:
    return [] if state.place == "kitchen" else _go(plot, state, "kitchen")


def _meet(plot: Plot, state: State, most: int = 1) -> list[Wish]:
    who = plot.strangers(state)
    if len(state.here or ()) > most or not who:
        return []
    return [Wish("meet0" if plot.rng.random() < 0.2 else "meet", plot.lead, who[0])]


def _join(plot: Plot, state: State) -> list[Wish]:
    return _meet(plot, state, 2)


def _bring(plot: Plot, state: State) -> list[Wish]:
    who = plot.strangers(state)
    if state.prop or not who or len(state.here or ()) > 1:
        return []
    return [Wish("meetwith", plot.lead, who[0], prop=plot.new_prop(state))]


def _leave(plot: Plot, state: State) -> list[Wish]:
    others = plot.others(state)
    if not others:
        return []
    pair = (plot.lead, others[0]) if plot.rng.random() < 0.75 else (others[0], plot.lead)
    return [Wish("leave", *pair)]


def _see(plot: Plot, state: State) -> list[Wish]:
    if state.prop:
        return []
    prop, group = plot.new_prop(state), mix(plot.rng, state.here or ())
    wishes = [Wish(kind, plot.lead, prop=prop) for kind in ("see1", "see1", "see0", "get1")]
    return [*wishes, Wish("see2", all=group, prop=prop)] if len(group) > 1 else wishes


def _take(plot: Plot, state: State) -> list[Wish]:
    if not state.prop or state.holder or state.lost:
        return []
    return [Wish("take", pick(plot.rng, state.here or (plot.lead,)), prop=state.prop)]


def _give(plot: Plot, state: State) -> list[Wish]:
    others = [name for name in state.here or () if name != state.holder]
    if not state.holder or not others:
        return []
    return [Wish("give", state.holder, pick(plot.rng, others), prop=state.prop)]


def _put(plot: Plot, state: State) -> list[Wish]:
    return [Wish("put", state.holder, prop=state.prop)] if state.holder else []


def _lose(plot: Plot, state: State) -> list[Wish]:
    return [Wish("lose", state.holder, prop=state.prop)] if state.holder else []


def _search(plot: Plot, state: State) -> list[Wish]:
    if not state.lost:
        return []
    wishes = [Wish("lost1", plot.lead, prop=state.prop)]
    others = plot.others(state)
    if others:
        wishes.append(Wish("lost2", plot.lead, others[0], (plot.lead, *others), state.prop))
    return wishes


def _find(plot: Plot, state: State) -> list[Wish]:
    who = pick(plot.rng, state.here or (plot.lead,))
    return [Wish("found1", who, prop=state.prop)] if state.lost else []


def _found_by(plot: Plot, state: State) -> list[Wish]:
    who = plot.strangers(state)
    if not state.lost or not who or len(state.here or ()) > 2:
        return _find(plot, state)
    return [Wish("foundby", plot.lead, who[0], prop=state.prop)]


def _bake(plot: Plot, state: State) -> list[Wish]:
    if state.prop or state.place != "kitchen":
        return []
    return [Wish("bake", plot.lead, prop="cake")]


def _eat(plot: Plot, state: State) -> list[Wish]:
    if state.prop != "cake" or state.lost:
        return []
    here = mix(plot.rng, state.here or ())
    if len(here) == 1:
        return [Wish("eat1", here[0], prop="cake")]
    return [Wish("eat", all=here, prop="cake")]


def _dusk(plot: Plot, state: State) -> list[Wish]:
    time = NEXT_TIME[state.time or "day"]
    return [Wish(f"{time}0"), Wish(f"{time}1", pick(plot.rng, state.here or (plot.lead,)))]


def _weather(plot: Plot, state: State) -> list[Wish]:
    choices = {"clear": ("rain", "snow"), "rain": ("clear", "clear", "snow")}
    weather = pick(plot.rng, choices.get(state.weather or "", ("clear", "clear", "rain")))
    return [Wish(f"{weather}0"), Wish(f"{weather}1", pick(plot.rng, state.here or (plot.lead,)))]


def _sleep(plot: Plot, state: State) -> list[Wish]:
    here = mix(plot.rng, state.here or (plot.lead,))
    if state.holder:
        kind = "putsleep" if len(here) == 1 else "put"
        return [Wish(kind, state.holder, prop=state.prop)]
    if len(here) == 1:
        return [Wish("sleep1", here[0])]
    pair = here if len(here) == 2 else (None, None)
    return [Wish("sleep2", *pair, all=here)]


def _sleeping(plot: Plot, state: State) -> list[Wish]:
    if len(state.asleep) == 1:
        return [Wish("sleeping1", state.asleep[0])]
    return [Wish("sleeping2", all=mix(plot.rng, state.asleep))]


def _morning(plot: Plot, state: State) -> list[Wish]:
    if len(state.asleep) == 1:
        return [Wish("morning0"), Wish("morning1", state.asleep[0])]
    return [Wish("morning0"), Wish("morning2", all=mix(plot.rng, state.asleep))]


def _wake(plot: Plot, state: State) -> list[Wish]:
    if len(state.asleep) == 1:
        return [Wish("wake1", state.asleep[0])]
    return [Wish("wake2", all=mix(plot.rng, state.asleep))]


def _play(plot: Plot, state: State) -> list[Wish]:
    """Something to do; with the thing in play if there is one."""
    here = mix(plot.rng, state.here or (plot.lead,))
    wishes = [Wish("do1", here[0]), Wish("say1", here[0])]
    if len(here) > 1:
        wishes += [Wish("do2", here[0], here[1], here)] * 3
    if state.holder:
        others = [name for name in here if name != state.holder]
        wishes += [Wish("has", state.holder, prop=state.prop)] * 3
        if others:
            wishes += [Wish("has2", state.holder, others[0], prop=state.prop)] * 4
    elif state.lost:
        return _search(plot, state)
    elif state.prop:
        wishes += [Wish("lies1", here[0], prop=state.prop), Wish("lies0", prop=state.prop)]
    return wishes


def _social(plot: Plot, state: State) -> list[Wish]:
    here = mix(plot.rng, state.here or (plot.lead,))
    if len(here) < 2:
        return []
    kinds = ("do2", "do2", "say2", "help")
    wishes = [Wish(kind, here[0], here[1], here) for kind in kinds]
    if state.holder:
        other = next(name for name in here if name != state.holder)
        wishes += [Wish("has2", state.holder, other, prop=state.prop)] * 3
    return wishes


def _help(plot: Plot, state: State) -> list[Wish]:
    others = plot.others(state)
    return [Wish("help", plot.lead, others[0])] if others else []


def _cheer(plot: Plot, state: State) -> list[Wish]:
    friends = [name for name in state.here or () if name != plot.sad]
    sad, plot.sad = plot.sad, None
    return [Wish("cheer", pick(plot.rng, friends), sad)] if friends else []


def _comfort(plot: Plot, state: State) -> list[Wish]:
    others = plot.others(state)
    return [Wish("comfort", others[0], plot.lead)] if others and state.lost else []


def _feel(plot: Plot, state: State) -> list[Wish]:
    here = pick(plot.rng, state.here or (plot.lead,))
    if state.lost:
        return [Wish("sad1", here)]
    wishes = [Wish(kind, here) for kind in ("glad1", "wonder1", "gloom1", "gloom1")]
    group = mix(plot.rng, state.here or ())
    return [*wishes, Wish("wonder2", all=group)] if len(group) > 1 else wishes


def _glad(plot: Plot, state: State) -> list[Wish]:
    here = mix(plot.rng, state.here or (plot.lead,))
    return [Wish("glad1", here[0])] if len(here) == 1 else [Wish("glad2", all=here)]


STEPS: dict[str, Callable[[Plot, State], list[Wish]]] = {
    "go": _go,
    "home": _home,
    "meet": _meet,
    "join": _join,
    "bring": _bring,
    "leave": _leave,
    "see": _see,
    "take": _take,
    "give": _give,
    "put": _put,
    "lose": _lose,
    "search": _search,
    "find": _find,
    "foundby": _found_by,
    "bake": _bake,
    "eat": _eat,
    "dusk": _dusk,
    "weather": _weather,
    "sleep": _sleep,
    "sleeping": _sleeping,
    "morning": _morning,
    "wake": _wake,
    "play": _play,
    "social": _social,
    "help": _help,
    "cheer": _cheer,
    "comfort": _comfort,
    "feel": _feel,
    "glad": _glad,
}
