"""The LLM's memory of what it has read, kept from panel to panel.

Derived state: dropping it costs time, never a result. Every row that was read is remembered by
what it was made from, a token id, or a picture's digest and the slot's number. (Image tokens have
the same ids in every story, so ids alone would mix up pictures.) A new prompt keeps the rows on
which it agrees with the last one; that is exact, since a row depends on nothing behind it.

Under a sink rows leave on the way. When, and which, follows from the prompt alone, so reading it
from its first row gives the same cache again: kept or replayed, a story goes on alike.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from einops import rearrange
from torch import Tensor

from ...context import ContextPolicy, Dense, Span
from ...kv_cache import KvCache
from ...story import pixel_digest
from .config import LlmConfig
from .mllm import Mllm
from .turning import cache_for

Key = int | tuple[str, int]
DENSE = Dense()


@dataclass(frozen=True)
class Page:
    """A prompt ready to be read.

    Attributes:
        ids: token ids.
        keys: what each row is made from.
        features: by digest, picture features [L, D] on any device.
        pictures: where they lie.
        policy: says which rows leave while it is read.
    """

    ids: tuple[int, ...]
    keys: tuple[Key, ...]
    features: Mapping[str, Tensor]
    pictures: tuple[Span, ...] = ()
    policy: ContextPolicy = DENSE

    @property
    def evictions(self) -> Sequence[int]:
        """Rows before which others leave, ascending."""
        return self.policy.evicts_before(self.pictures)


def spans(ids: Sequence[int], slots: Sequence[int]) -> tuple[Span, ...]:
    """Where ``ids`` have pictures, each ``<img>``, ``slots`` in order, ``</img>``.

    Several questions are about one prompt, so the answer for the last tuple of ids is kept.
    """
    known, its_slots, found = _latest[0]
    if known is not ids or its_slots is not slots:
        found = _searched(ids, slots)
        if isinstance(ids, tuple) and isinstance(slots, tuple):
            _latest[0] = (ids, slots, found)
    return found


#: The ids and slots that were searched last, and what was found; tuples, which never change.
_latest: list[tuple[tuple[int, ...], tuple[int, ...], tuple[Span, ...]]] = [((), (), ())]


def _searched(ids: Sequence[int], slots: Sequence[int]) -> tuple[Span, ...]:
    found, row = [], 0
    for _ in range(ids.count(slots[0])):
        row = ids.index(slots[0], row) + len(slots)
        found.append(Span(row - len(slots) - 1, row))
    return tuple(found)


@lru_cache(4096)
def _slot_keys(name: str, count: int) -> tuple[Key, ...]:
    """What a picture's rows are made from; the same objects each time, which compare at once."""
    return tuple((name, slot) for slot in range(count))


def page(
    ids: Sequence[int],
    slots: Sequence[int],
    pictures: Sequence[Tensor],
    policy: ContextPolicy = DENSE,
) -> Page:
    """Pair the image slots in ``ids`` with ``pictures`` ([L, D] each), in order.

    ``slots`` are the image tokens' ids in order; the first of them begins a picture.
    """
    digests = [pixel_digest(features) for features in pictures]
    places = spans(ids, slots)
    keys: list[Key] = list(ids)
    for name, span in zip(digests, places, strict=True):
        keys[span.begin + 1 : span.end] = _slot_keys(name, len(slots))
    features = dict(zip(digests, pictures, strict=True))
    return Page(tuple(ids), tuple(keys), features, places, policy)


class Reader:
    """Reads pages and tokens with an `Mllm`; keeps one KV cache, of one trace of rows.

    Args:
        make_cache: makes an empty cache that can do what a policy asks of it.
        forward: reads new rows: LLM, embeddings, positions, cache -> hidden states.

    Attributes:
        keys: what each row that was read was made from, rows that have left included.
        on_forward: called with the number of rows before every forward of the LLM; may raise to
            cancel it.
    """

    def __init__(
        self,
        config: LlmConfig,
        make_cache: Callable[[ContextPolicy, LlmConfig], KvCache] = cache_for,
        forward: Callable[[Mllm, Tensor, Tensor, KvCache], Tensor] = Mllm.__call__,
    ) -> None:
        self._config, self._make_cache, self._forward = config, make_cache, forward
        self._identity: Hashable = None
        self._policy: ContextPolicy = DENSE
        self.on_forward: Callable[[int], object] = lambda rows: None
        self.forget()

    @property
    def nbytes(self) -> int:
        """Memory that the kept cache holds."""
        return self._cache.nbytes

    @property
    def rows(self) -> int:
        """Rows that the kept cache holds."""
        return self._cache.length

    def bytes_for(self, rows: int, dtype: torch.dtype, policy: ContextPolicy = DENSE) -> int:
        """Memory for a cache of ``rows`` rows and for the widest values while they are read."""
        config = self._config
        kinds = 3 if policy.reindexes else 2  # keys, values; and keys before they are turned
        cached = kinds * config.layers * config.kv_heads * config.head_width
        passing = 4 * config.width + 3 * config.mlp_width
        return (cached + passing) * rows * dtype.itemsize

    def park(self) -> None:
        """Move the kept cache to the CPU."""
        self._cache.to(torch.device("cpu"))

    def forget(self) -> None:
        """Drop the kept cache and its memory."""
        self.keys: list[Key] = []
        self._held: list[int] = []  # which row of the trace each row of the cache is, ascending
        self._evicted = 0  # the row before which rows left last; 0 where none have
        self._cache = self._make_cache(self._policy, self._config)

    def begin(self, text: Page, identity: Hashable, device: torch.device) -> int:
        """Keep the rows that ``text`` begins with, all but its last at most.

        What has left cannot come back: where ``text`` needs rows that have, none are kept.

        Args:
            identity: whatever else the rows depend on; another one drops them all.

        Returns: the number of rows of ``text`` that need not be read.
        """
        whole = (identity, text.policy)
        if whole != self._identity:
            self._identity, self._policy = None, text.policy
            self.forget()
            self._identity = whole
        rows = min(len(self._held), self._cache.length)  # they differ after a cancelled forward
        known = self._held[rows - 1] + 1 if rows else 0
        done = bisect_right(text.evictions, self._evicted)
        coming = text.evictions[done : done + 1]
        limit = min(len(text.keys) - 1, len(self.keys), known, *coming)
        agreed = _agreement(self.keys, text.keys, limit)
        if agreed < self._evicted:
            agreed = 0
        rows = bisect_left(self._held, agreed)
        del self._held[rows:], self.keys[agreed:]
        self._evicted = self._evicted if agreed else 0
        self._cache.crop(rows)
        self._cache.to(device)
        return agreed

    def read_page(
        self, llm: Mllm, text: Page, like: Tensor, on_pass: Callable[[], object] = lambda: None
    ) -> Tensor:
        """Read the rest of ``text`` behind the kept rows; device and dtype are those of ``like``.

        Args:
            on_pass: called between two passes, of which a replay has many; may raise to cancel.

        Returns: [L, D], hidden states of the rows that were read in the last pass.
        """
        for row in text.evictions[bisect_right(text.evictions, self._evicted) :]:
            if len(self.keys) < row:
                self._read_until(llm, text, row, like)
                on_pass()
            self._evict(text, row)
        return self._read_until(llm, text, len(text.keys), like)

    def read_ids(self, llm: Mllm, ids: Sequence[int], like: Tensor) -> Tensor:
        """Read generated tokens, image tokens as plain ones -> hidden states [L, D]."""
        none = torch.zeros(1, len(ids), dtype=torch.bool, device=like.device)
        pictures = like.new_empty(0, self._config.width)
        row = torch.tensor([list(ids)], device=like.device)
        return self._read(llm, llm.embed(row, none, pictures, like.dtype), ids)

    def unread(self, rows: int) -> None:
        """Drop the last ``rows`` rows, as if they had not been read."""
        self._cache.crop(self._cache.length - rows)
        del self.keys[-rows:], self._held[-rows:]

    def _read_until(self, llm: Mllm, text: Page, stop: int, like: Tensor) -> Tensor:
        """Read ``text`` up to row ``stop`` in one pass."""
        start = len(self.keys)
        some = text.keys[start:stop]
        wanted = {key[0] for key in some if isinstance(key, tuple)}
        rows = {
            name: llm.input_resampler(text.features[name][None].to(like.device, like.dtype))[0]
            for name in wanted
        }
        pictures = [rows[key[0]][key[1]] for key in some if isinstance(key, tuple)]
        embeds = llm.embed(
            torch.tensor([text.ids[start:stop]], device=like.device),
            torch.tensor([[isinstance(key, tuple) for key in some]], device=like.device),
            torch.stack(pictures) if pictures else like.new_empty(0, self._config.width),
            like.dtype,
        )
        return self._read(llm, embeds, some)

    def _read(self, llm: Mllm, embeds: Tensor, keys: Sequence[Key]) -> Tensor:
        row = len(self.keys)
        first = self._cache.length if self._policy.reindexes else row
        self.on_forward(len(keys))
        positions = torch.arange(first, first + len(keys), device=embeds.device)
        hidden = self._forward(llm, embeds, positions, self._cache)
        self.keys += keys
        self._held += range(row, row + len(keys))
        return rearrange(hidden, "1 l d -> l d")

    def _evict(self, text: Page, row: int) -> None:
        """Let go of rows before ``row`` is read. Cancelled midway, nothing is held any more."""
        kept = text.policy.kept(self._held, text.pictures, row)
        held, self._held = self._held, []
        self._evicted = row
        self._cache.keep(kept)
        self._held = [held[index] for index in kept]


class ReadingSpeaker:
    """`decoding.Speaker` over a `Reader` that has read the prompt."""

    def __init__(self, reader: Reader, llm: Mllm, like: Tensor) -> None:
        self._reader, self._llm, self._like = reader, llm, like

    def read(self, ids: Sequence[int]) -> Tensor:
        """Generated tokens -> their hidden states [L, D]."""
        return self._reader.read_ids(self._llm, ids, self._like)

    def scores(self, hidden: Tensor) -> Tensor:
        """Hidden state [D] -> next-token scores [V], fp32 on the CPU."""
        return self._llm.scores(hidden[None])[0].cpu()


def _agreement(ours: Sequence[Key], theirs: Sequence[Key], limit: int) -> int:
    """On how many of their first ``limit`` keys two sequences agree."""
    if tuple(ours[:limit]) == tuple(theirs[:limit]):
        return limit
    return next(i for i in range(limit) if ours[i] != theirs[i])
