"""What a caption means, given what was told before: the scene, and every contradiction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .captions import ROLES, Sentence
from .scene import MAX_ACTORS, TIMES, Actor, Scene
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

NEXT_TIME: dict[str, str] = dict(zip(TIMES, (*TIMES[1:], TIMES[0]), strict=True))


@dataclass(frozen=True)
class State:
    """What is known after some captions.

    Attributes:
        here: who is at the place; None before anybody was told of.
        seen: the actors of the last caption, left to right.
        prop: the thing in play: held by ``holder``, ``lost``, or else on the ground here.
        asleep: who sleeps.
    """

    place: str | None = None
    time: str | None = None
    weather: str | None = None
    here: tuple[str, ...] | None = None
    seen: tuple[str, ...] = ()
    prop: str | None = None
    holder: str | None = None
    lost: bool = False
    asleep: tuple[str, ...] = ()


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


class _Telling:
    """Takes in the sentences of one caption, one after the other."""

    def __init__(self, state: State) -> None:
        self.before = state
        self.place, self.time, self.weather = state.place, state.time, state.weather
        self.here = None if state.here is None else list(state.here)
        self.prop, self.holder, self.lost = state.prop, state.holder, state.lost
        self.asleep = list(state.asleep)
        self.actors: dict[str, list[str | None]] = {}
        self.shown = False
        self.leaving: list[str] = []
        self.eaten = False
        self.coming: set[str] = set()
        self.problems: list[str] = []

    def add(self, sentence: Sentence) -> None:
        form, slots = sentence.form, sentence.slots
        for what, value in form.was.items():
            if getattr(self, what) not in (None, value):
                self.problems.append(f"the {what} was {getattr(self, what)}, not {value}")
        roles = self._mentions(form.slots, slots)
        words = _words(form.says, slots)
        named = [name for names in roles.values() for name in names]
        effects = [effect.partition(":") for effect in form.effects]
        if any(name in ("come", "hascome") for name, _, _ in effects) and self.here is None:
            self.problems.append("somebody comes before anybody is there")
        for name, _, role in effects:
            EFFECTS[name](self, [roles[r] for r in role.split(">")] if role else [], words, named)
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

    def is_prop(self, words: Mapping[str, str], lost: bool | None = None) -> None:
        """Check that the thing named is the one in play, and whether it is lost."""
        prop = words["prop"]
        if self.prop != prop:
            self.problems.append(f"there is no {prop}")
            self.prop, self.holder, self.lost = prop, None, bool(lost)
        if lost is not None and lost != self.lost:
            self.problems.append(f"the {prop} is {'lost' if self.lost else 'not lost'}")
            self.lost = lost

    def is_held_by(self, name: str, words: Mapping[str, str]) -> None:
        """Check that ``name`` holds the thing named."""
        self.is_prop(words, lost=False)
        if self.holder != name:
            self.problems.append(f"{name} does not hold the {self.prop}")
            self.holder = name


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


_Names = Sequence[Sequence[str]]
_Words = Mapping[str, str]


def _go(t: _Telling, who: _Names, words: _Words, named: Sequence[str]) -> None:
    place = words["place"]
    if t.place == place:
        t.problems.append(f"they are {place} already" if t.place is None else f"{place} is here")
    if t.here is not None:
        t.problems += [f"{name} is not there" for name in named if name not in t.here]
    t.place, t.here = place, list(named)
    if t.holder not in named and not t.lost:
        t.prop = t.holder = None
    t.asleep = [name for name in t.asleep if name in named]


def _come(t: _Telling, who: _Names, words: _Words, named: Sequence[str]) -> None:
    for name in who[0]:
        t.here = t.here or []
        if name in t.here:
            t.problems.append(f"{name} is there already")
        else:
            t.here.append(name)


def _leave(t: _Telling, who: _Names, words: _Words, named: Sequence[str]) -> None:
    t.leaving += who[0]


def _new(t: _Telling, who: _Names, words: _Words, named: Sequence[str]) -> None:
    """A thing turns up: on the ground, or in somebody's hands."""
    if t.holder is not None:
        t.problems.append(f"{t.holder} still holds the {t.prop}")
    elif t.prop == words["prop"]:
        t.problems.append(f"the {t.prop} is not new")
    t.prop, t.lost, t.shown = words["prop"], False, True
    t.holder = who[0][0] if who and who[0] else None


def _take(t: _Telling, who: _Names, words: _Words, named: Sequence[str]) -> None:
    t.is_prop(words, lost=False)
    if t.holder is not None:
        t.problems.append(f"{t.holder} holds the {t.prop}")
    t.holder = who[0][0] if who[0] else None


def _give(t: _Telling, who: _Names, words: _Words, named: Sequence[str]) -> None:
    if who[0]:
        t.is_held_by(who[0][0], words)
    if who[1]:
        t.holder = who[1][0]


def _put(t: _Telling, who: _Names, words: _Words, named: Sequence[str]) -> None:
    if who[0]:
        t.is_held_by(who[0][0], words)
    t.holder, t.shown = None, True


def _has(t: _Telling, who: _Names, words: _Words, named: Sequence[str]) -> None:
    if who[0]:
        t.is_held_by(who[0][0], words)


def _lies(t: _Telling, who: _Names, words: _Words, named: Sequence[str]) -> None:
    """Words that show the thing on the ground."""
    t.is_prop(words, lost=False)
    if t.holder is not None:
        t.problems.append(f"{t.holder} holds the {t.prop}")
        t.holder = None
    t.shown = True


def _lose(t: _Telling, who: _Names, words: _Words, named: Sequence[str]) -> None:
    """The thing is lost from now on."""
    t.is_prop(words, lost=False)
    if who and who[0] and t.holder != who[0][0]:
        t.problems.append(f"{who[0][0]} does not hold the {t.prop}")
    t.holder, t.lost = None, True


def _is_lost(t: _Telling, who: _Names, words: _Words, named: Sequence[str]) -> None:
    t.is_prop(words, lost=True)


def _found(t: _Telling, who: _Names, words: _Words, named: Sequence[str]) -> None:
    """The lost thing is back, on the ground or in somebody's hands."""
    t.is_prop(words, lost=True)
    t.lost, t.shown = False, True
    t.holder = who[0][0] if who and who[0] else None


def _eat(t: _Telling, who: _Names, words: _Words, named: Sequence[str]) -> None:
    t.is_prop(words, lost=False)
    if t.holder is not None and t.holder not in named:
        t.problems.append(f"{t.holder} holds the {t.prop}")
    t.holder, t.shown, t.eaten = None, True, True


def _time(t: _Telling, who: _Names, words: _Words, named: Sequence[str]) -> None:
    if t.time is not None and NEXT_TIME[t.time] != words["time"]:
        t.problems.append(f"{words['time']} does not follow {t.time}")
    t.time = words["time"]


def _weather(t: _Telling, who: _Names, words: _Words, named: Sequence[str]) -> None:
    if t.weather == words["weather"]:
        t.problems.append(f"the weather is {t.weather} already")
    t.weather = words["weather"]


def _wake(t: _Telling, who: _Names, words: _Words, named: Sequence[str]) -> None:
    for name in who[0]:
        if name in t.asleep:
            t.asleep.remove(name)
        else:
            t.problems.append(f"{name} was not asleep")


EFFECTS: dict[str, Callable[[_Telling, _Names, _Words, Sequence[str]], None]] = {
    "go": _go,
    "come": _come,
    "leave": _leave,
    "new": _new,
    "take": _take,
    "give": _give,
    "put": _put,
    "has": _has,
    "lies": _lies,
    "lose": _lose,
    "islost": _is_lost,
    "found": _found,
    "eat": _eat,
    "time": _time,
    "weather": _weather,
    "wake": _wake,
}
