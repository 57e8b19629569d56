"""A track is one mode's story, told panel by panel beside those of the other modes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..context import ContextPolicy, Window
from ..engines.seed_story.config import SeedStoryConfig
from ..engines.seed_story.engine import NAME, SeedStoryEngine
from ..engines.seed_story.features import SPACE
from ..engines.seed_story.prompt import TURN, Vocabulary, clean, display
from ..hosts import HeldPart
from ..sampling import Greedy, Sampling
from ..story import append
from ..types import Panel, Story, WorldRef
from .baseline import Baseline
from .meter import Cost, Meter
from .modes import Mode
from .weights import Weights
from .words import NumberWords, WithoutEnd

WORLD = WorldRef("bench", "bench")
OPENING_WORDS = 12


@dataclass(frozen=True, eq=False)
class Stage:
    """What all tracks share.

    Attributes:
        opening: a story of one panel.
        captions: of every panel to come, for modes in which they are given.
        length: words of each caption.
    """

    config: SeedStoryConfig
    weights: Weights
    tokenizer: NumberWords
    opening: Story
    captions: tuple[str, ...]
    length: int

    @property
    def device(self) -> torch.device:
        return self.weights.mllm.lm_head.weight.device

    def engine(self) -> SeedStoryEngine:
        """Our engine on the merged weights; nothing read yet."""
        part = HeldPart(self.weights.mllm, self.device, self.weights.dtype)
        parts: dict[str, Any] = dict.fromkeys(("vision", "llm", "detokenizer"), part)
        return SeedStoryEngine(WORLD, self.config, self.tokenizer, parts, Path("bench"))

    def sampling(self) -> Sampling:
        """Greedy; captions of `length` words, then a picture."""
        words = self.tokenizer
        marks = words.encode("<img>")
        picker = WithoutEnd(marks[0], words.eos)
        return Sampling(picker=cast(Greedy, picker), max_caption_tokens=self.length)


def make_stage(
    config: SeedStoryConfig, weights: Weights, panels: int, length: int, seed: int
) -> Stage:
    """The same inputs for every mode, by ``seed``."""
    generator = torch.Generator().manual_seed(seed)
    words = NumberWords(config.llm.vocab, config.image_tokens)
    pool = config.vision.pool
    picture = torch.randn(pool.tokens, pool.width, generator=generator).to(weights.dtype)
    text = words.caption(OPENING_WORDS, generator)
    first = Panel(caption=text, text=text, origin="opening", features={SPACE: picture})
    opening = append(Story((), NAME, WORLD, "bench"), first)
    captions = tuple(words.caption(length, generator) for _ in range(panels))
    return Stage(config, weights, words, opening, captions, length)


class Track(ABC):
    """One mode's story and the panels' costs.

    Attributes:
        story: so far.
        costs: one a told panel.
    """

    decoder: nn.Module
    head: nn.Module

    def __init__(self, mode: Mode, stage: Stage) -> None:
        self.mode, self.stage = mode, stage
        self.story = stage.opening
        self.costs: list[Cost] = []

    def advance(self, meter: Meter) -> None:
        """Tell and measure the next panel."""
        self.prepare()
        caption = self.stage.captions[len(self.costs)] if self.mode.given else None
        words = 0 if self.mode.given else self.stage.length
        with meter.panel(self.decoder, self.head, words) as cost:
            self.story = self.tell(caption)
        self.costs.append(cost)

    def prepare(self) -> None:
        """What is done before the clock runs."""
        return

    @abstractmethod
    def tell(self, caption: str | None) -> Story:
        """The story and one more panel."""


class EngineTrack(Track):
    """Told by our engine, through its public calls."""

    def __init__(self, mode: Mode, stage: Stage) -> None:
        super().__init__(mode, stage)
        self.decoder, self.head = stage.weights.mllm.model, stage.weights.mllm.lm_head
        self._engine, self._sampling = stage.engine(), stage.sampling()

    def prepare(self) -> None:
        """A mode that keeps nothing begins with an engine that has read nothing."""
        if self.mode.fresh:
            self._engine = self.stage.engine()

    def tell(self, caption: str | None) -> Story:
        return self._engine.tell(self.story, caption, self._sampling, self.mode.policy)


class ReferenceTrack(Track):
    """Told by the baseline; prompts are laid out by the engine, as ours are."""

    def __init__(self, mode: Mode, stage: Stage, baseline: Baseline) -> None:
        super().__init__(mode, stage)
        self.decoder, self.head = baseline.llama.model, baseline.llama.lm_head
        self._engine, self._baseline = stage.engine(), baseline

    def tell(self, caption: str | None) -> Story:
        panel = referenced(
            self._baseline, self._engine, self.story, caption, self.stage.length, self.mode.policy
        )
        return append(self.story, panel)


def referenced(
    baseline: Baseline,
    engine: SeedStoryEngine,
    story: Story,
    caption: str | None,
    length: int,
    policy: ContextPolicy,
) -> Panel:
    """The panel behind ``story`` by the baseline, from the prompt that ``policy`` asks for."""
    prompt = engine.prompt(story, caption, policy)
    pictures = [story.panels[i].features[SPACE] for i in prompt.pictures]
    ids, features = baseline.tell(prompt.ids, pictures, length if caption is None else 0)
    if caption is None:
        text, origin = clean(engine.words.tokenizer.decode(ids)), "told"
    else:
        text, origin = TURN + caption, "illustrated"
    return Panel(display(text), text, origin, ids, {SPACE: features})


class Theatre:
    """Makes tracks; baselines share one stock model for each kind of weights."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._baselines: dict[bool, Baseline] = {}

    def baseline(self, merged: bool) -> Baseline:
        """The stock model with its LoRA merged or not."""
        if merged not in self._baselines:
            config, tokenizer = self.stage.config, self.stage.tokenizer
            words = Vocabulary(tokenizer, config.image_tokens, config.llm.vocab)
            self._baselines[merged] = Baseline(config.llm, words, self.stage.weights, merged)
        return self._baselines[merged]

    def tracks(self, modes: Sequence[Mode]) -> list[Track]:
        """A track at its beginning for each mode."""
        return [
            ReferenceTrack(mode, self.stage, self.baseline(mode.merged))
            if mode.reference
            else EngineTrack(mode, self.stage)
            for mode in modes
        ]


def features_at(story: Story, index: int) -> Tensor:
    """The features of panel ``index``, fp64."""
    return story.panels[index].features[SPACE].double()


def wide(size: int) -> Window:
    """A window that never slides in a story of ``size`` panels."""
    return replace(Window(), size=size + 1)
