"""What all modes share: weights, an opening, captions, and how to make our engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ..engines.seed_story.config import SeedStoryConfig
from ..engines.seed_story.engine import NAME, SeedStoryEngine
from ..engines.seed_story.features import SPACE
from ..engines.seed_story.mllm import Mllm
from ..engines.seed_story.prompt import BEGIN, SLOT
from ..hosts import HeldPart
from ..sampling import Greedy, Sampling
from ..story import append
from ..types import Panel, Story, WorldRef
from .weights import Weights
from .words import Drawn, NumberWords, WithoutEnd

WORLD = WorldRef("bench", "bench")
OPENING_WORDS = 12


class RestlessPart(HeldPart[Mllm]):
    """Says that its weights may move, so that every pass is run and none captured."""

    def is_dynamic(self) -> bool:
        """As ComfyUI's dynamic memory."""
        return True


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

    @property
    def slots(self) -> tuple[int, ...]:
        """Ids of the image tokens, in order."""
        names = map(SLOT.format, range(self.config.image_tokens))
        return tuple(map(self.tokenizer.id_of, names))

    def text_only(self, scores: Tensor) -> Tensor:
        """Scores [L, V] without the ids that the benchmark never lets win in a caption."""
        words = self.tokenizer
        kept = scores.clone()
        kept[:, [words.eos, *range(words.first_mark, len(words))]] = -torch.inf
        return kept

    def engine(self, graphs: bool = False) -> SeedStoryEngine:
        """Our engine on the merged weights; nothing read yet.

        Args:
            graphs: on a GPU, let it capture CUDA graphs.
        """
        kind = HeldPart if graphs else RestlessPart
        part = kind(self.weights.mllm, self.device, self.weights.dtype)
        parts: dict[str, Any] = dict.fromkeys(("vision", "llm", "detokenizer"), part)
        return SeedStoryEngine(WORLD, self.config, self.tokenizer, parts, Path("bench"))

    def sampling(self) -> Sampling:
        """Greedy; captions of `length` words, then a picture."""
        words = self.tokenizer
        return self._sampling(WithoutEnd(words.id_of(BEGIN), words.eos))

    def drawn(self) -> Sampling:
        """The same with words drawn by the seed."""
        return self._sampling(Drawn(self.tokenizer.first_mark, self.tokenizer.eos))

    def _sampling(self, picker: WithoutEnd | Drawn) -> Sampling:
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
