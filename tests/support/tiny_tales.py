"""Stories told by a random LLM of a few thousand weights: hundreds of panels in seconds.

A picture has four slots and ids are plain numbers, so prompts need no tokenizer. What the engine
does around its `Reader` is written down a second time here, in its shortest form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from seedstory_core.context import ContextPolicy
from seedstory_core.decoding import Markers, decode, picture_rows
from seedstory_core.engines.seed_story.config import (
    DetokenizerConfig,
    LlmConfig,
    ResamplerConfig,
    SeedStoryConfig,
    VisionConfig,
)
from seedstory_core.engines.seed_story.mllm import Mllm
from seedstory_core.engines.seed_story.reader import Page, Reader, ReadingSpeaker, page
from seedstory_core.sampling import Sampling

from .rounding import LAYER, assert_no_tie, tolerance

BOS, BEGIN, END = 1, 30, 35
SLOTS = (31, 32, 33, 34)
MARKERS = Markers(BEGIN, END, SLOTS, eos=-1)  # it never stops of its own accord
CPU = torch.device("cpu")
WIDTH = 32
CONFIG = SeedStoryConfig(
    vision=VisionConfig(8, 4, WIDTH, 1, 2, 16, 2, ResamplerConfig(2, WIDTH, WIDTH, 2)),
    llm=LlmConfig(
        vocab=36, width=WIDTH, mlp_width=48, layers=3, heads=4, kv_heads=2, max_positions=4096
    ),
    input_resampler=ResamplerConfig(2, WIDTH, WIDTH, 2),
    output_resampler=ResamplerConfig(2, WIDTH, WIDTH, 2),
    detokenizer=DetokenizerConfig(WIDTH, WIDTH, 1, 2, 16, 32, 4, (8, 8), 8),
)


#: What a story's features are off by is read again, and this LLM makes 3 or 4 times as much of it
#: a panel: 1.2e5 after 8 panels at most, measured for all policies with features off by 1e-12.
SWELL = 1e6


def rounding(dtype: torch.dtype, swell: float = 1.0) -> dict[str, float]:
    """Tolerance of hidden states, which are of size 3, and of features behind the resampler."""
    terms, sums = CONFIG.llm.mlp_width, (CONFIG.llm.layers + 1) * LAYER
    return tolerance(dtype, terms, sums, scale=3.0, swell=swell)


@lru_cache(maxsize=2)
def tiny_llm(dtype: torch.dtype) -> Mllm:
    """One set of weights for all; large enough that what is attended to matters."""
    torch.manual_seed(3)
    llm = Mllm(CONFIG)
    for parameter in llm.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.35)
    return llm.to(dtype).eval().requires_grad_(False)


class TinyPanel(NamedTuple):
    """Ids of the words, and the picture's features [4, D]."""

    words: tuple[int, ...]
    features: Tensor


def opening(dtype: torch.dtype, seed: int = 0) -> list[TinyPanel]:
    generator = torch.Generator().manual_seed(seed)
    return [TinyPanel((5, 6, 7), torch.randn(4, WIDTH, generator=generator).to(dtype))]


def prompt(
    story: Sequence[TinyPanel], policy: ContextPolicy, caption: Sequence[int] | None = None
) -> tuple[list[int], list[Tensor]]:
    """Ids, and the features of the pictures in them."""
    seen = story[policy.first_visible(len(story)) :]
    ids = [BOS]
    for panel in seen:
        ids += [*panel.words, BEGIN, *SLOTS, END]
    return [*ids, *(caption or ())], [panel.features for panel in seen]


class TinyTeller:
    """Tells panels with one `Reader`.

    Attributes:
        forwards: rows of each forward of the last telling.
        hidden: [4, D], hidden states of the last told picture.
    """

    def __init__(
        self,
        policy: ContextPolicy,
        dtype: torch.dtype = torch.float32,
        reader: Reader | None = None,
    ) -> None:
        self.policy, self.llm, self.like = policy, tiny_llm(dtype), torch.empty(0, dtype=dtype)
        self.reader = reader or Reader(CONFIG.llm)
        self.forwards: list[int] = []
        self.reader.on_forward = self.forwards.append
        self.hidden = self.like

    @torch.no_grad()
    def give(self, story: Sequence[TinyPanel], caption: Sequence[int]) -> list[TinyPanel]:
        """``story`` and a panel of the given words."""
        text = self._begin(story, caption)
        span = (BEGIN, *SLOTS)
        whole = replace(text, ids=(*text.ids, *span), keys=(*text.keys, *span))
        rows = self.reader.read_page(self.llm, whole, self.like)[-len(SLOTS) :]
        return [*story, self._panel(tuple(caption), rows)]

    @torch.no_grad()
    def tell(
        self, story: Sequence[TinyPanel], words: int = 4, on_pass: Callable[[], object] = int
    ) -> list[TinyPanel]:
        """``story`` and a panel of as many words as the model likes best."""
        text = self._begin(story, None)
        hidden = self.reader.read_page(self.llm, text, self.like, on_pass)[-1]
        speaker = ReadingSpeaker(self.reader, self.llm, self.like)
        said = decode(
            speaker, hidden, MARKERS, Sampling(max_caption_tokens=words, suppress=-torch.inf)
        )
        rows = picture_rows(said, MARKERS)
        assert rows is not None
        own = tuple(id for id in said.ids if id not in MARKERS.picture)
        return [*story, self._panel(own, rows)]

    def _begin(self, story: Sequence[TinyPanel], caption: Sequence[int] | None) -> Page:
        self.forwards.clear()
        ids, pictures = prompt(story, self.policy, caption)
        text = page(ids, SLOTS, pictures, self.policy)
        self.reader.begin(text, "tiny", CPU)
        return text

    def _panel(self, words: tuple[int, ...], rows: Tensor) -> TinyPanel:
        self.hidden = rows
        return TinyPanel(words, self.llm.output_resampler(rows[None])[0])


def tell_alike(one: TinyTeller, other: TinyTeller, panels: int) -> None:
    """Both tell the same panels, each from what ``other`` told: nothing is swollen.

    Captions have changing lengths, and no word of them is a tie.
    """
    dtype = one.like.dtype
    story = opening(dtype)
    with no_ties(dtype):
        for panel in range(panels):
            words = 1 + panel * 7 % 5
            got, story = one.tell(story, words), other.tell(story, words)
            assert got[-1].words == story[-1].words, panel
            torch.testing.assert_close(got[-1].features, story[-1].features, **rounding(dtype))


@contextmanager
def no_ties(dtype: torch.dtype) -> Iterator[None]:
    """Every word that the LLM of ``dtype`` says within leads by more than rounding."""
    llm = tiny_llm(dtype)
    scores = llm.scores

    def watched(hidden: Tensor) -> Tensor:
        found = scores(hidden)
        assert_no_tie(found, dtype, CONFIG.llm.mlp_width, (CONFIG.llm.layers + 1) * LAYER)
        return found

    llm.scores = watched  # type: ignore[method-assign]
    try:
        yield
    finally:
        del llm.scores
