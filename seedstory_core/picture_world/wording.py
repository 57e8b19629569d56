"""Puts a wish into words: chooses a form and fills its slots."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import islice

from .captions import Form, Sentence
from .chance import pick
from .effects import State
from .grammar import KINDS
from .scene import INDOORS
from .steps import Wish
from .words import (
    A_PROP,
    AIR,
    AT,
    NAMES,
    OBJECTS,
    POSSESSIVES,
    PRONOUNS,
    SKY,
    THE_PLACE,
    THE_PROP,
    WHEN,
)

_SAMPLE = 8

_AT = {place: words for words, place in AT.items()}
_THE_PLACE = {place: words for words, place in THE_PLACE.items()}
_THE_PROP = {prop: words for words, prop in THE_PROP.items()}
_A_PROP = {prop: words for words, prop in A_PROP.items()}


class Wording:
    """Words for the wishes of one story; remembers what was said when."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.panel = 0
        self._before: tuple[str, ...] = ()
        self._used: dict[str, int] = {}
        self._named: dict[str, int] = {}

    def told(self, sentences: Sequence[Sentence], seen: tuple[str, ...]) -> None:
        """Take note of a caption and whom it showed; the next one is another panel's."""
        self._before = seen
        for sentence in sentences:
            self._used[sentence.form.text] = self.panel
            for what in sentence.form.tells:
                self._named[what] = self.panel
            for slot in ("a", "b", "o", "all"):
                for name in NAMES:
                    if name in sentence.slots.get(slot, ""):
                        self._named[name] = self.panel
        self.panel += 1

    def age(self, what: str) -> int:
        """Panels since a name, or the place, time, weather or thing, was named."""
        return self.panel - self._named.get(what, 0)

    def unused_for(self, sentence: Sentence) -> int:
        """Panels since this form was used."""
        return self.panel - self._used.get(sentence.form.text, -99)

    def sentence(self, wish: Wish, facts: State, told: Sequence[str]) -> Sentence | None:
        """One way to say what is wished, where there is one."""
        sample = [pick(self.rng, KINDS[wish.kind]) for _ in range(_SAMPLE)]
        fitting = islice((form for form in sample if _fits(form, wish, facts)), 3)
        form = min(fitting, key=lambda form: self._used.get(form.text, -1), default=None)
        if form is None:
            return None
        slots: dict[str, str] = {}
        for slot in form.slots:
            word = self._word(slot, wish, facts, told, form)
            if word is None:
                return None
            slots[slot] = word
        return Sentence(form, slots)

    def _word(
        self, slot: str, wish: Wish, facts: State, told: Sequence[str], form: Form
    ) -> str | None:
        if slot in ("a", "o", "b"):
            name = wish.a if slot == "a" else wish.b
            assert name is not None
            plain = slot == "b" or (slot == "a" and not form.may_be_pronoun)
            return name if plain else self._mention(name, slot, told, wish)
        if slot == "all":
            return self._group(wish.all, told)
        if slot == "his":
            return POSSESSIVES[PRONOUNS[wish.a or ""]]
        if slot == "prop":
            return _THE_PROP[wish.prop or ""]
        if slot == "aprop":
            return _A_PROP[wish.prop or ""]
        if slot == "place":
            return _THE_PLACE[wish.place or ""]
        if slot == "at":
            return _AT[facts.place or ""]
        if slot == "when":
            return pick(self.rng, [w for w, time in WHEN.items() if time == facts.time])
        if slot == "sky":
            return next(w for w, weather in SKY.items() if weather == facts.weather)
        air = (facts.time, facts.weather)
        return pick(self.rng, [words for words, both in AIR.items() if both == air])

    def _mention(self, name: str, slot: str, told: Sequence[str], wish: Wish) -> str:
        """A name, or a pronoun where it is clear and the name was told not long ago."""
        partner = wish.b if slot == "a" else wish.a
        pronoun = PRONOUNS[name]
        group = [n for n in told or self._before if PRONOUNS[n] == pronoun]
        if told and not group:
            return name
        likely = 0.95 if told else 0.3 if self.age(name) < 3 else 0.0
        alone = group == [name] and (partner is None or PRONOUNS[partner] != pronoun)
        if not alone or self.rng.random() > likely:
            return name
        return pronoun if slot == "a" else OBJECTS[pronoun]

    def _group(self, names: Sequence[str], told: Sequence[str]) -> str | None:
        known = tuple(told) if len(told) > 1 else self._before if not told else ()
        same = len(known) == len(names) and all(name in known for name in names)
        if same and self.rng.random() < (0.95 if told else 0.4):
            return "they"
        if not 2 <= len(names) <= 3:
            return None
        return f"{', '.join(names[:-1])} and {names[-1]}"


def says_twice(one: Sentence, other: Sentence) -> bool:
    """Whether the second sentence repeats the first one's place, action or mood."""
    first, second = one.form, other.form
    both = first.tells & second.tells
    if both & {"place", "weather"} or ("prop" in both and not second.acts):
        return True
    return any(
        (said.action and again.action) or (said.mood and again.mood)
        for said in first.acts
        for again in second.acts
        if again.role != "b" or said.role == "all"
    )


def _fits(form: Form, wish: Wish, facts: State) -> bool:
    """Whether the wish has a word for every slot, and the facts agree with the form's."""
    if "a" in form.slots and wish.a is None:
        return False
    if ("b" in form.slots or "o" in form.slots) and wish.b is None:
        return False
    if "all" in form.slots and not wish.all:
        return False
    if facts.place in INDOORS and (form.outdoors or "sky" in form.slots):
        return False
    if any(getattr(facts, what) not in (None, value) for what, value in form.was.items()):
        return False
    for what, value in form.says.items():
        if what == "prop" and wish.prop != value:
            return False
        changes = what in form.effects or (what == "place" and "go" in form.effects)
        if what != "prop" and not changes and getattr(facts, what) != value:
            return False
    return True
