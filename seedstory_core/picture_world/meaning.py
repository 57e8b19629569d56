"""What a caption means, given what was told before: the scene, and every contradiction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .captions import ROLES, Sentence
from .effects import EFFECTS, Facts, State
from .scene import MAX_ACTORS, Actor, Scene
from .words import (
    A_PROP,
    AIR,
    AT,
    POSSESSIVES,
    PRONOUNS,
    SKY,
    THE_PLACE,
    THE_PROP,
    WHEN,
    pronoun_of,
)


@dataclass(frozen=True)
class Told:
    """One caption understood.

    Attributes:
        scene: None while place, time, weather or the actors are not known.
        problems: contradictions with what was told before; the caption is taken at its word.
    """

    scene: Scene | None
    state: State
    problems: tuple[str, ...]


def understand(state: State, sentences: Sequence[Sentence]) -> Told:
    """The scene of one caption, and the state after it."""
    telling = _Telling(state)
    for sentence in sentences:
        telling.add(sentence)
    return telling.finish()


class _Telling(Facts):
    """Takes in the sentences of one caption, one after the other."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.before = state
        #: name -> action and mood, in order of first mention.
        self.actors: dict[str, list[str | None]] = {}

    def add(self, sentence: Sentence) -> None:
        form, slots = sentence.form, sentence.slots
        for what, value in form.was.items():
            if getattr(self, what) not in (None, value):
                self.problems.append(f"the {what} was {getattr(self, what)}, not {value}")
        roles = self._mentions(form.slots, slots)
        words = _words(form.says, slots)
        named = [name for names in roles.values() for name in names]
        for effect in form.effects:
            name, _, who = effect.partition(":")
            EFFECTS[name](self, [roles[role] for role in who.split(">") if role], words, named)
        self._state_facts(words)
        self._are_here(named)
        self._act(sentence, roles)

    def _mentions(
        self, order: Sequence[str], slots: Mapping[str, str]
    ) -> dict[str, tuple[str, ...]]:
        """Role -> names; each is entered as an actor in order of first mention."""
        roles: dict[str, tuple[str, ...]] = {}
        told = tuple(self.actors)
        for slot in order:
            if slot not in ROLES:
                continue
            here = [name for names in roles.values() for name in names]
            names = self._resolve(slots[slot], told, here)
            roles[slot] = names
            if len(set(names)) < len(names) or set(names) & set(here):
                self.problems.append("somebody is named twice")
            for name in names:
                self.actors.setdefault(name, [None, None])
        if "his" in slots and "a" in roles and roles["a"]:
            if POSSESSIVES[PRONOUNS[roles["a"][0]]] != slots["his"].lower():
                self.problems.append(f"{roles['a'][0]} is {PRONOUNS[roles['a'][0]]}")
        return roles

    def _resolve(self, word: str, told: Sequence[str], here: Sequence[str]) -> tuple[str, ...]:
        if word.lower() == "they":
            group = tuple(told) if len(told) > 1 else self.before.seen
            if len(group) < 2:
                self.problems.append("nobody knows who they are")
            return group
        pronoun = pronoun_of(word)
        if pronoun is None:
            return tuple(word.replace(" and ", ", ").split(", "))
        for names in (told, self.before.seen):
            fitting = [n for n in names if PRONOUNS[n] == pronoun and n not in here]
            if fitting:
                if len(fitting) > 1:
                    self.problems.append(f"nobody knows who {word.lower()} is")
                return (fitting[0],)
        self.problems.append(f"nobody knows who {word.lower()} is")
        return ()

    def _state_facts(self, words: Mapping[str, str]) -> None:
        """Words that say how things are: true, or a contradiction."""
        for what in ("place", "time", "weather"):
            value, known = words.get(what), getattr(self, what)
            if value is not None and value != known:
                if known is not None:
                    self.problems.append(f"the {what} is {known}, not {value}")
                setattr(self, what, value)

    def _are_here(self, named: Sequence[str]) -> None:
        if self.here is None:
            self.here = list(dict.fromkeys(named)) or None
            return
        for name in named:
            if name not in self.here:
                self.problems.append(f"{name} is not there")
                self.here.append(name)

    def _act(self, sentence: Sentence, roles: Mapping[str, Sequence[str]]) -> None:
        for act in sentence.form.acts:
            for name in roles[act.role]:
                said = self.actors[name]
                said[0] = act.action or said[0]
                said[1] = act.mood or said[1]
        for name in [name for names in roles.values() for name in names]:
            if self.actors[name][0] == "sleep":
                if self.actors[name][1] not in (None, "calm"):
                    self.problems.append(f"{name} is asleep")
                if name not in self.asleep:
                    self.asleep.append(name)
            elif name in self.asleep:
                self.problems.append(f"{name} is asleep")
                self.asleep.remove(name)

    def finish(self) -> Told:
        if self.holder is not None and self.actors.get(self.holder, [None])[0] == "sleep":
            self.problems.append(f"{self.holder} holds the {self.prop} while asleep")
            self.holder = None
        scene = self._scene()
        if self.eaten:
            self.prop = self.holder = None
        if self.holder in self.leaving:
            self.prop = self.holder = None
        here = None if self.here is None else tuple(n for n in self.here if n not in self.leaving)
        seen = tuple(name for name in self.actors if name not in self.leaving)
        asleep = tuple(name for name in self.asleep if here is not None and name in here)
        state = State(
            self.place, self.time, self.weather, here, seen, self.prop, self.holder, self.lost,
            asleep,
        )  # fmt: skip
        return Told(scene, state, tuple(dict.fromkeys(self.problems)))

    def _scene(self) -> Scene | None:
        if not 1 <= len(self.actors) <= MAX_ACTORS:
            self.problems.append("nobody is there" if not self.actors else "too many are there")
            return None
        if self.place is None or self.time is None or self.weather is None:
            self.problems.append("place, time or weather is not known")
            return None
        actors = []
        for name, (action, mood) in self.actors.items():
            asleep = action == "sleep"
            holds = self.prop if self.holder == name and not asleep else None
            actors.append(
                Actor(name, action or "stand", "calm" if asleep else mood or "calm", holds)
            )
        lying = self.prop if self.shown and self.holder is None and not self.lost else None
        return Scene(self.place, self.time, self.weather, tuple(actors), lying)


def _words(says: Mapping[str, str], slots: Mapping[str, str]) -> dict[str, str]:
    """What a sentence names: place, time, weather, prop."""
    words = dict(says)
    if "air" in slots:
        words["time"], words["weather"] = AIR[slots["air"]]
    for slot, (what, table) in _TABLES.items():
        if slot in slots:
            words[what] = table[slots[slot][0].lower() + slots[slot][1:]]
    return words


_TABLES: dict[str, tuple[str, Mapping[str, str]]] = {
    "at": ("place", AT),
    "place": ("place", THE_PLACE),
    "when": ("time", WHEN),
    "sky": ("weather", SKY),
    "prop": ("prop", THE_PROP),
    "aprop": ("prop", A_PROP),
}
