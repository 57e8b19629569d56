"""Tells stories of this world without end: panels of a caption and its scene, by seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from .captions import Form, Sentence
from .grammar import KINDS
from .meaning import State, Told, understand
from .plots import Plot, Wish, mix, pick
from .scene import CAST, INDOORS, Scene
from .splits import SPLITS, scene_is_held_out
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

MAX_WORDS = 24
#: After so many panels a caption names again what still holds, so that a reader with a window of
#: eight panels never has to guess.
STALE = {"place": 5, "time": 5, "weather": 5, "prop": 3}
_ATTEMPTS, _TRIES, _ENOUGH, _SAMPLE = 50, 60, 3, 8

_AT = {place: words for words, place in AT.items()}
_THE_PLACE = {place: words for words, place in THE_PLACE.items()}
_THE_PROP = {prop: words for words, prop in THE_PROP.items()}
_A_PROP = {prop: words for words, prop in A_PROP.items()}


@dataclass(frozen=True)
class PanelScript:
    """One panel: what is told, and what is to be seen."""

    caption: str
    scene: Scene


def tell(
    seed: int, panels: int, split: str = "train", cast: Sequence[str] = CAST
) -> tuple[PanelScript, ...]:
    """A story of so many panels; the same on every machine.

    Args:
        split: ``train`` shows no held-out combination (see `splits`), ``val`` and ``test`` do.
        cast: who may be met.
    """
    assert split in SPLITS and panels > 0 and cast, (split, panels, cast)
    for attempt in range(_ATTEMPTS):
        teller = _Teller(random.Random(f"{split}/{seed}/{attempt}"), split, cast)
        scripts = []
        while len(scripts) < panels and (script := teller.panel()):
            scripts.append(script)
        if len(scripts) == panels:
            return tuple(scripts)
    raise AssertionError(f"no story for {seed}, {split}: the grammar lacks a way out")


@dataclass(frozen=True)
class _Candidate:
    sentences: tuple[Sentence, ...]
    told: Told
    scene: Scene
    caption: str
    score: float


class _Teller:
    """Tells one story, panel by panel: tries several tellings of a step and tells the best."""

    def __init__(self, rng: random.Random, split: str, cast: Sequence[str]) -> None:
        self.rng, self.split = rng, split
        self.plot = Plot(rng, cast)
        self.state = State()
        self.count = 0
        self.captions: set[str] = set()
        self.last_used: dict[str, int] = {}
        self.last_named: dict[str, int] = {}

    def panel(self) -> PanelScript | None:
        """The next panel; None if nothing can be told (the story has to begin anew)."""
        best = self._opening() if not self.count else self._step()
        if best is None:
            return None
        self.plot.passed(self.state, best.told.state, best.scene)
        for sentence in best.sentences:
            self.last_used[sentence.form.text] = self.count
            for what in sentence.form.tells:
                self.last_named[what] = self.count
            for slot in ("a", "b", "o", "all"):
                for name in NAMES:
                    if name in sentence.slots.get(slot, ""):
                        self.last_named[name] = self.count
        self.state = best.told.state
        self.captions.add(best.caption)
        self.count += 1
        return PanelScript(best.caption, best.scene)

    def _opening(self) -> _Candidate | None:
        facts, wishes = self.plot.opening()
        return self._best(wishes, facts)

    def _step(self) -> _Candidate | None:
        for _ in range(30):
            wishes = self.plot.wishes(self.plot.next_step(self.state), self.state)
            best = self._best(wishes, self.state) if wishes else None
            if best is not None:
                return best
        return None

    def _best(self, wishes: Sequence[Wish], facts: State) -> _Candidate | None:
        found: list[_Candidate] = []
        for _ in range(_TRIES):
            candidate = self._candidate(pick(self.rng, wishes), facts)
            if candidate is not None:
                found.append(candidate)
                if len(found) == _ENOUGH:
                    break
        return max(found, key=lambda candidate: candidate.score, default=None)

    def _candidate(self, wish: Wish, facts: State) -> _Candidate | None:
        first = self._sentence(wish, facts, ())
        if first is None:
            return None
        sentences = (first,)
        after = understand(self.state, sentences)
        if not first.form.roles or self.rng.random() < 0.62:
            seen = after.state.seen if first.form.roles else ()
            second = self._sentence(self._second(first, seen, after.state), after.state, seen)
            if second is None:
                return None
            sentences = (first, second)
            if _says_twice(sentences):
                return None
        told = understand(self.state, sentences)
        caption = " ".join(sentence.text for sentence in sentences)
        if told.scene is None or told.problems or caption in self.captions:
            return None
        held_out = scene_is_held_out(told.scene)
        if len(caption.split()) > MAX_WORDS or (held_out and self.split == "train"):
            return None
        score = self._score(sentences, told.scene, told.state)
        if score is None:
            return None
        return _Candidate(sentences, told, told.scene, caption, score + 2 * held_out)

    def _second(self, first: Sentence, seen: Sequence[str], after: State) -> Wish:
        """What may be said next in the same caption."""
        rng = self.rng
        sorrow = after.lost or any(act.mood == "sad" for act in first.form.acts)
        here = [name for name in after.here or () if name not in after.asleep]
        rest = [name for name in here if name not in seen]
        if after.asleep and after.time == "day" and not seen:
            return (
                Wish("wake1", after.asleep[0])
                if len(after.asleep) == 1
                else Wish("wake2", all=mix(rng, after.asleep))
            )
        wishes = [Wish("set")] if seen else []
        stale = any(self._age(what) >= 3 for what in ("place", "time", "weather"))
        wishes += [Wish("set")] * (2 if stale and seen else 0)
        awake = [name for name in seen or here if name not in after.asleep]
        if awake:
            who = pick(rng, awake)
            if not sorrow:
                wishes += [Wish("nice")] if seen else []
                mood = pick(rng, ("glad1", "glad1", "wonder1"))
                wishes += [Wish(mood, who), Wish("say1", who), Wish("do1", who)]
                wishes += [] if seen else [Wish("do1", who)] * 2
            if after.holder in awake:
                wishes += [Wish("has", after.holder, prop=after.prop)] * 2
            elif after.prop and not after.lost and not after.holder:
                wishes += [Wish("lies1", who, prop=after.prop)] * 3
            elif after.lost:
                wishes += [Wish("lost1", who, prop=after.prop), Wish("sad1", who)]
        if len(awake) > 1 and not sorrow:
            group = tuple(seen or awake)
            wishes += [Wish("glad2", all=group), Wish("say2", awake[0], awake[1])]
            wishes.append(Wish("do2", awake[0], awake[1], group))
        if rest and seen:
            friend = pick(rng, rest)
            wishes += [Wish("mind", b=friend)] * (1 + 2 * sorrow)
            wishes += [Wish("react", b=friend)] * (0 if sorrow else 5)
        elif len(here) > 1 and not seen and not sorrow:
            wishes += [Wish("do2", here[0], here[1], tuple(here))] * 4
        return pick(rng, wishes) if wishes else Wish("set")

    def _age(self, what: str) -> int:
        return self.count - self.last_named.get(what, 0)

    def _score(self, sentences: Sequence[Sentence], scene: Scene, state: State) -> float | None:
        """How well this would do as the next caption; None where it must not be told."""
        named = {what for sentence in sentences for what in sentence.form.tells}
        score = 2.0 * self.rng.random()
        for what, limit in STALE.items():
            if what == "prop" and not state.prop:
                continue
            age = self._age(what)
            if what in named:
                score += 1.5 * (age >= limit - 1)
            elif age > limit + 1:
                return None
            elif age >= limit:
                score -= 4
        for sentence in sentences:
            since = self.count - self.last_used.get(sentence.form.text, -99)
            score -= 3 / since if since else 9
        for actor in scene.actors:
            score += 0.3 * (actor.action == "wave")
        score += (0.0, 0.3, 0.0, 2.0)[len(scene.actors)]
        for name in state.here or ():
            score -= max(0, self._age(name) - 4)
        return score

    def _sentence(self, wish: Wish, facts: State, told: Sequence[str]) -> Sentence | None:
        """One way to say what is wished, where there is one."""
        sample = [pick(self.rng, KINDS[wish.kind]) for _ in range(_SAMPLE)]
        forms = [form for form in sample if _fits(form, wish, facts)]
        if not forms:
            return None
        form = min(forms[:3], key=lambda form: self.last_used.get(form.text, -1))
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
        group = [n for n in told or self.state.seen if PRONOUNS[n] == pronoun]
        if told and not group:
            return name
        likely = 0.95 if told else 0.3 if self._age(name) < 3 else 0.0
        alone = group == [name] and (partner is None or PRONOUNS[partner] != pronoun)
        if not alone or self.rng.random() > likely:
            return name
        return pronoun if slot == "a" else OBJECTS[pronoun]

    def _group(self, names: Sequence[str], told: Sequence[str]) -> str | None:
        known = tuple(told) if len(told) > 1 else self.state.seen if not told else ()
        same = len(known) == len(names) and all(name in known for name in names)
        if same and self.rng.random() < (0.95 if told else 0.4):
            return "they"
        if not 2 <= len(names) <= 3:
            return None
        return f"{', '.join(names[:-1])} and {names[-1]}"


def _says_twice(sentences: Sequence[Sentence]) -> bool:
    """Whether the second sentence repeats the first one's place, action or mood."""
    first, second = (sentence.form for sentence in sentences)
    both = first.tells & second.tells
    if both & {"place", "weather"} or ("prop" in both and not second.acts):
        return True
    return any(
        (one.action and other.action) or (one.mood and other.mood)
        for one in first.acts
        for other in second.acts
        if other.role != "b" or "all" in (one.role, other.role)
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
