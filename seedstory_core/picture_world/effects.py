"""What sentences change: the state between captions, and the effects that forms name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .scene import TIMES

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


class Facts:
    """The state while one caption is taken in, and what is noticed on the way.

    Attributes:
        shown: the thing on the ground was mentioned.
        eaten: the thing is gone after this caption.
        leaving: who is gone after this caption.
        problems: contradictions; the caption is taken at its word all the same.
    """

    def __init__(self, state: State) -> None:
        self.place, self.time, self.weather = state.place, state.time, state.weather
        self.here = None if state.here is None else list(state.here)
        self.prop, self.holder, self.lost = state.prop, state.holder, state.lost
        self.asleep = list(state.asleep)
        self.shown = self.eaten = False
        self.leaving: list[str] = []
        self.problems: list[str] = []

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


_Names = Sequence[Sequence[str]]
_Words = Mapping[str, str]


def _go(t: Facts, who: _Names, words: _Words, named: Sequence[str]) -> None:
    place = words["place"]
    if t.place == place:
        t.problems.append(f"they are at the {place} already")
    if t.here is not None:
        t.problems += [f"{name} is not there" for name in named if name not in t.here]
    t.place, t.here = place, list(named)
    if t.holder not in named and not t.lost:
        t.prop = t.holder = None
    t.asleep = [name for name in t.asleep if name in named]


def _come(t: Facts, who: _Names, words: _Words, named: Sequence[str]) -> None:
    for name in who[0]:
        t.here = t.here or []
        if name in t.here:
            t.problems.append(f"{name} is there already")
        else:
            t.here.append(name)


def _leave(t: Facts, who: _Names, words: _Words, named: Sequence[str]) -> None:
    t.leaving += who[0]


def _new(t: Facts, who: _Names, words: _Words, named: Sequence[str]) -> None:
    """A thing turns up: on the ground, or in somebody's hands."""
    if t.holder is not None:
        t.problems.append(f"{t.holder} still holds the {t.prop}")
    elif t.prop == words["prop"]:
        t.problems.append(f"the {t.prop} is not new")
    t.prop, t.lost, t.shown = words["prop"], False, True
    t.holder = who[0][0] if who and who[0] else None


def _take(t: Facts, who: _Names, words: _Words, named: Sequence[str]) -> None:
    t.is_prop(words, lost=False)
    if t.holder is not None:
        t.problems.append(f"{t.holder} holds the {t.prop}")
    t.holder = who[0][0] if who[0] else None


def _give(t: Facts, who: _Names, words: _Words, named: Sequence[str]) -> None:
    if who[0]:
        t.is_held_by(who[0][0], words)
    if who[1]:
        t.holder = who[1][0]


def _put(t: Facts, who: _Names, words: _Words, named: Sequence[str]) -> None:
    if who[0]:
        t.is_held_by(who[0][0], words)
    t.holder, t.shown = None, True


def _has(t: Facts, who: _Names, words: _Words, named: Sequence[str]) -> None:
    if who[0]:
        t.is_held_by(who[0][0], words)


def _lies(t: Facts, who: _Names, words: _Words, named: Sequence[str]) -> None:
    """Words that show the thing on the ground."""
    t.is_prop(words, lost=False)
    if t.holder is not None:
        t.problems.append(f"{t.holder} holds the {t.prop}")
        t.holder = None
    t.shown = True


def _lose(t: Facts, who: _Names, words: _Words, named: Sequence[str]) -> None:
    """The thing is lost from now on."""
    t.is_prop(words, lost=False)
    if who and who[0] and t.holder != who[0][0]:
        t.problems.append(f"{who[0][0]} does not hold the {t.prop}")
    t.holder, t.lost = None, True


def _is_lost(t: Facts, who: _Names, words: _Words, named: Sequence[str]) -> None:
    t.is_prop(words, lost=True)


def _found(t: Facts, who: _Names, words: _Words, named: Sequence[str]) -> None:
    """The lost thing is back, on the ground or in somebody's hands."""
    t.is_prop(words, lost=True)
    t.lost, t.shown = False, True
    t.holder = who[0][0] if who and who[0] else None


def _eat(t: Facts, who: _Names, words: _Words, named: Sequence[str]) -> None:
    t.is_prop(words, lost=False)
    if t.holder is not None and t.holder not in named:
        t.problems.append(f"{t.holder} holds the {t.prop}")
    t.holder, t.shown, t.eaten = None, True, True


def _time(t: Facts, who: _Names, words: _Words, named: Sequence[str]) -> None:
    if t.time is not None and NEXT_TIME[t.time] != words["time"]:
        t.problems.append(f"{words['time']} does not follow {t.time}")
    t.time = words["time"]


def _weather(t: Facts, who: _Names, words: _Words, named: Sequence[str]) -> None:
    if t.weather == words["weather"]:
        t.problems.append(f"the weather is {t.weather} already")
    t.weather = words["weather"]


def _wake(t: Facts, who: _Names, words: _Words, named: Sequence[str]) -> None:
    for name in who[0]:
        if name in t.asleep:
            t.asleep.remove(name)
        else:
            t.problems.append(f"{name} was not asleep")


EFFECTS: dict[str, Callable[[Facts, _Names, _Words, Sequence[str]], None]] = {
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
