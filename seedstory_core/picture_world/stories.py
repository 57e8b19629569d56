"""Tells stories of this world without end: panels of a caption and its scene, by seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from .captions import Sentence
from .chance import mix, pick
from .effects import State
from .follow_ups import follow_up
from .meaning import Told, understand
from .plots import Plot
from .scene import CAST, Scene
from .splits import SPLITS, scene_is_held_out
from .steps import STEPS, Wish
from .wording import Wording, says_twice

MAX_WORDS = 24
#: After so many panels a caption names again what still holds, so that a reader with a window of
#: eight panels never has to guess.
STALE = {"place": 5, "time": 5, "weather": 5, "prop": 3}
_TWO_SENTENCES = 0.62
_ATTEMPTS, _STEPS, _TRIES, _ENOUGH = 10, 30, 60, 3
#: Now and then a story runs into a corner, mostly where all that could come next is held out. It
#: begins anew; after so many attempts it rather takes any step out of the corner.
_STRICT_ATTEMPTS = 5


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
        rng = random.Random(f"{split}/{seed}/{attempt}")
        teller = _Teller(rng, split, cast, strict=attempt < _STRICT_ATTEMPTS)
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

    def __init__(self, rng: random.Random, split: str, cast: Sequence[str], strict: bool) -> None:
        self.rng, self.split, self.strict = rng, split, strict
        self.plot, self.wording = Plot(rng, cast), Wording(rng)
        self.state = State()
        self.captions: set[str] = set()

    def panel(self) -> PanelScript | None:
        """The next panel; None if nothing can be told (the story has to begin anew)."""
        best = self._step() if self.captions else self._opening()
        if best is None:
            return None
        self.plot.passed(self.state, best.told.state, best.scene)
        self.state = best.told.state
        self.wording.told(best.sentences, self.state.seen)
        self.captions.add(best.caption)
        return PanelScript(best.caption, best.scene)

    def _opening(self) -> _Candidate | None:
        facts, wishes = self.plot.opening()
        return self._best(wishes, facts)

    def _step(self) -> _Candidate | None:
        for _ in range(_STEPS):
            wishes = self.plot.wishes(self.plot.next_step(self.state), self.state)
            best = self._best(wishes, self.state) if wishes else None
            if best is not None:
                return best
        return None if self.strict else self._way_out()

    def _way_out(self) -> _Candidate | None:
        for step in mix(self.rng, tuple(STEPS)):
            wishes = self.plot.wishes(step, self.state)
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
        sentences = self._sentences(wish, facts)
        if sentences is None:
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

    def _sentences(self, wish: Wish, facts: State) -> tuple[Sentence, ...] | None:
        """The wish in words, often with something more."""
        first = self.wording.sentence(wish, facts, ())
        if first is None:
            return None
        after = understand(self.state, (first,)).state
        if first.form.roles and self.rng.random() >= _TWO_SENTENCES:
            return (first,)
        seen = after.seen if first.form.roles else ()
        stale = any(self.wording.age(what) >= 3 for what in ("place", "time", "weather"))
        more = follow_up(self.plot, first, seen, after, stale)
        second = self.wording.sentence(more, after, seen)
        if second is None or says_twice(first, second):
            return None
        return first, second

    def _score(self, sentences: Sequence[Sentence], scene: Scene, state: State) -> float | None:
        """How well this would do as the next caption; None where it must not be told."""
        named = {what for sentence in sentences for what in sentence.form.tells}
        score = 2.0 * self.rng.random()
        for what, limit in STALE.items():
            if what == "prop" and not state.prop:
                continue
            age = self.wording.age(what)
            if what in named:
                score += 1.5 * (age >= limit - 1)
            elif age > limit + 1 and self.strict:
                return None
            elif age >= limit:
                score -= 4
        for sentence in sentences:
            since = self.wording.unused_for(sentence)
            score -= 3 / since if since else 9
        for actor in scene.actors:
            score += 0.3 * (actor.action == "wave")
        score += (0.0, 0.3, 0.0, 2.0)[len(scene.actors)]
        for name in state.here or ():
            score -= max(0, self.wording.age(name) - 4)
        return score
