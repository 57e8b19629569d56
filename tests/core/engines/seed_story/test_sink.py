"""The sink against two other ways to compute it, against Dense, and at length."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from support.tiny_tales import (
    BEGIN,
    CONFIG,
    SLOTS,
    TinyPanel,
    TinyTeller,
    opening,
    prompt,
    rounding,
    tell_alike,
    tiny_llm,
)
from torch import Tensor

from seedstory_core.context import ORIGINAL, ContextPolicy, Dense, MultimodalSink, context_rows
from seedstory_core.engines.seed_story.config import LlmConfig
from seedstory_core.engines.seed_story.llama import rotary, rotate
from seedstory_core.engines.seed_story.reader import Reader, page
from seedstory_core.kv_cache import KvCache

SINK = MultimodalSink(
    window=2, first=2, before_begin=1, from_begin=2, before_end=2, from_end=2, cap=3
)
DTYPES = [torch.float32, torch.float64]
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


class RotateAtRead(KvCache):
    """A sink's cache in story coordinates: rows never move, keys are turned when they are read."""

    def __init__(self, config: LlmConfig) -> None:
        super().__init__(config.layers)
        self.config = config
        self.story: list[list[Tensor]] = [[] for _ in range(config.layers)]  # every row ever read
        self.seen: list[int] = []  # story rows that are still looked at

    @property
    def length(self) -> int:  # type: ignore[override]
        return len(self.seen)

    @length.setter
    def length(self, value: int) -> None: ...

    @property
    def end(self) -> int:
        return self.seen[-1] + 1 if self.seen else 0

    def append(
        self, layer: int, keys: Tensor, values: Tensor, plain: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        assert plain is not None
        rows = self.story[layer]
        del rows[self.end :]
        rows += torch.stack([plain, values]).unbind(3)  # one [2, B, H, D] a row
        seen = [*self.seen, *range(self.end, len(rows))]
        k, v = torch.stack([rows[row] for row in seen], dim=3)
        return rotate(k, *rotary(torch.arange(len(seen)), self.config, k.dtype)), v

    def advance(self, rows: int) -> None:
        self.seen += range(self.end, self.end + rows)

    def crop(self, length: int) -> None:
        del self.seen[length:]

    def keep(self, rows: Sequence[int]) -> None:
        self.seen = [self.seen[row] for row in rows]


def told(policy: ContextPolicy, dtype: torch.dtype, panels: int) -> list[TinyPanel]:
    """A story with captions of changing lengths."""
    teller, story = TinyTeller(policy, dtype), opening(dtype)
    for panel in range(panels):
        story = teller.tell(story, words=1 + panel * 7 % 5)
    return story


# Law: both ways to turn keys agree -----------------------------------------------------------


@dtypes
def test_keys_turned_at_eviction_are_as_keys_turned_at_read(dtype: torch.dtype) -> None:
    oracle = Reader(CONFIG.llm, lambda policy, config: RotateAtRead(config))
    tell_alike(TinyTeller(SINK, dtype), TinyTeller(SINK, dtype, oracle), 40)


@dtypes
def test_turned_keys_gather_no_rounding_over_evictions(dtype: torch.dtype) -> None:
    """After 60 evictions the first rows' keys are bit for bit those that were written first."""
    teller, story = TinyTeller(SINK, dtype), opening(dtype)
    story = teller.give(story, (5, 6))
    first = teller.reader._cache.rows(0)[0][:, :, : SINK.first].clone()
    for _ in range(60):
        story = teller.give(story, (5, 6))
    assert torch.equal(teller.reader._cache.rows(0)[0][:, :, : SINK.first], first)


# Law: with the story's own positions, the sink is one pass under a mask ----------------------


def visible(story: Sequence[TinyPanel], policy: MultimodalSink, rows: Tensor) -> Tensor:
    """bool [N, N] by the policy's definition: what each of the story's rows looked at."""
    begins, ends = (rows == BEGIN).nonzero()[:, 0], (rows == SLOTS[-1]).nonzero()[:, 0] + 1
    mask = torch.ones(len(rows), len(rows), dtype=torch.bool).tril()
    left = torch.zeros(len(rows), dtype=torch.bool)
    for told in range(policy.window + 1, len(story)):
        out = told - policy.window  # so many panels are out of view
        stays = torch.arange(len(rows)) > int(ends[out - 1])
        stays[: policy.first] = True
        for panel in range(max(0, out - policy.cap), out):
            b, e = int(begins[panel]), int(ends[panel])
            stays[max(0, b - policy.before_begin) : b + policy.from_begin] = True
            stays[max(0, e - policy.before_end) : e + policy.from_end] = True
        here = int(begins[told - 1]) + 1
        left[:here] |= ~stays[:here]
        mask[here:, left] = False
    return mask


@torch.no_grad()
def in_one_pass(story: Sequence[TinyPanel], policy: MultimodalSink, dtype: torch.dtype) -> Tensor:
    """Hidden states of the last told picture's slots, no cache involved."""
    llm, (*before, last) = tiny_llm(dtype), story
    ids, pictures = prompt(before, Dense(), last.words)
    ids += [BEGIN, *SLOTS]
    features = llm.input_resampler(torch.stack(pictures)).flatten(0, 1)
    slots = torch.isin(torch.tensor(ids), torch.tensor(SLOTS))
    slots[-len(SLOTS) :] = False
    x = llm.embed(torch.tensor([ids]), slots[None], features, dtype)
    turn = rotary(torch.arange(len(ids)), CONFIG.llm, dtype)
    mask = visible(story, policy, torch.tensor(ids))
    for layer in llm.model.layers:
        x = layer(x, turn, mask, None)
    return llm.model.norm(x)[0, -len(SLOTS) :]


@dtypes
@pytest.mark.parametrize("cap", [0, 1, 3, 99])
def test_with_the_storys_positions_it_is_one_masked_pass(dtype: torch.dtype, cap: int) -> None:
    policy = replace(SINK, cap=cap, positions=ORIGINAL)
    teller, story = TinyTeller(policy, dtype), opening(dtype)
    for panel in range(14):
        story = teller.tell(story, words=1 + panel * 7 % 5)
        want = in_one_pass(story, policy, dtype)
        torch.testing.assert_close(teller.hidden, want, **rounding(dtype))


@pytest.mark.parametrize("positions", ["reindexed", ORIGINAL])
@dtypes
def test_a_window_as_long_as_the_story_is_dense(dtype: torch.dtype, positions: str) -> None:
    policy = MultimodalSink(window=12, positions=positions)
    tell_alike(TinyTeller(policy, dtype), TinyTeller(Dense(), dtype), 12)


def test_what_is_evicted_and_how_positions_count_matters() -> None:
    """The laws above would hold for a policy that does nothing."""
    dense = told(Dense(), torch.float64, 8)
    stories = [told(replace(SINK, cap=cap), torch.float64, 8) for cap in (0, 3)]
    stories.append(told(replace(SINK, positions=ORIGINAL), torch.float64, 8))
    last = [story[-1].features for story in [dense, *stories]]
    for i, one in enumerate(last):
        assert all((one - other).abs().max() > 1e-3 for other in last[:i])


# Law: constant for ever ------------------------------------------------------------------------


@dtypes
@pytest.mark.parametrize("positions", ["reindexed", ORIGINAL])
def test_two_hundred_panels_take_constant_rows_and_bytes(
    dtype: torch.dtype, positions: str
) -> None:
    policy = replace(SINK, positions=positions)
    teller, story = TinyTeller(policy, dtype), opening(dtype)
    rows, sizes = [], []
    for panel in range(200):
        story = teller.give(story, (5 + panel % 20, 6, 7))
        rows.append(teller.reader.rows)
        sizes.append(teller.reader.nbytes)
        assert len(teller.forwards) == 1
    assert len(set(rows[10:])) == 1 and len(set(sizes[10:])) == 1
    bound = context_rows(policy, 3 + 4 + 2)
    assert bound is not None and rows[-1] <= bound
    assert sizes[-1] < teller.reader.bytes_for(256, dtype, policy)
    assert all(panel.features.isfinite().all() for panel in story)


@pytest.mark.parametrize("seed", range(4))
def test_the_rows_of_a_prompt_are_foretold(seed: int) -> None:
    """`in_view`, by which room and memory are planned."""
    draw = random.Random(seed)
    teller, story = TinyTeller(SINK), opening(torch.float32)
    for _ in range(9):
        story = teller.give(story, [3] * draw.randint(1, 6))
        ids, pictures = prompt(story, SINK)
        text = page(ids, SLOTS, pictures, SINK)
        alone = TinyTeller(SINK)
        alone.reader.begin(text, "tiny", torch.device("cpu"))
        with torch.no_grad():
            alone.reader.read_page(alone.llm, text, alone.like)
        assert alone.reader.rows == SINK.in_view(text.pictures, len(ids))
