"""Reads for several stories at once: one cache, in which stories that agree share their rows.

Short readings, as a token of each story, go through the model packed into one pass [1, L, D]: every
row at its own position, seeing its own story's line of rows only. A long reading, as a prompt, goes
alone over its own line: there the model is busy anyway, and no row is looked at in vain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor

from ...batch_cache import Reading, SharedRows
from ...kv_cache import KvCache
from .config import LlmConfig
from .mllm import Mllm
from .reader import Key, Page

LONG = 128  # rows that are worth a pass of their own


class SharedReader:
    """Reads pages and tokens of several lines with an `Mllm`.

    Args:
        lines: how many stories there are.
        on_forward: called with the number of rows before every forward of the LLM; may raise to
            cancel it.
    """

    def __init__(
        self, config: LlmConfig, lines: int, on_forward: Callable[[int], object] = lambda rows: None
    ) -> None:
        self._config, self._on_forward = config, on_forward
        self._tree: SharedRows[Key] = SharedRows(lines)
        self._cache = KvCache(config.layers)

    @property
    def rows(self) -> int:
        """Rows that the cache holds."""
        return self._cache.length

    def begin(self, line: int, text: Page, fresh: int = 1) -> Sequence[Key]:
        """Let a line be what is known of ``text``, all but its last ``fresh`` rows at most.

        Returns: keys of the rows that are still to be read.
        """
        known = self._tree.rewind(line, text.keys[:-fresh])
        used = self._tree.wasted()
        if used is not None:
            self._cache.crop(self._tree.length)
            self._cache.keep(used)
            self._tree.keep(used)
        return text.keys[known:]

    def unread(self, line: int, rows: int) -> None:
        """Drop a line's last ``rows`` rows, as if they had not been read."""
        self._tree.cut(line, rows)

    def rows_for(self, wanted: Mapping[int, Sequence[Key]]) -> int:
        """Rows by which `read` would make the cache longer."""
        return len(self._tree.plan(wanted).keys)

    def read(
        self,
        llm: Mllm,
        wanted: Mapping[int, Sequence[Key]],
        features: Mapping[str, Tensor],
        like: Tensor,
        on_pass: Callable[[], object] = lambda: None,
    ) -> dict[int, Tensor]:
        """Let lines read on, each as much as it likes.

        Args:
            wanted: for each line, keys of its next rows.
            features: [L, D] by digest, of all pictures in ``wanted``.
            like: its device and dtype are those to compute in.
            on_pass: called before every pass; may raise to cancel.

        Returns: for each line the hidden states [L, D] of these rows.
        """
        self._cache.crop(self._tree.length)  # a cancelled reading may have left a pass behind
        reading = self._tree.plan(wanted)
        embeds = self._embeds(llm, reading.keys, features, like)
        passes = []
        for some in _passes(reading):
            on_pass()
            passes.append(self._pass(llm, reading, some, embeds))
        hidden, first = torch.cat(passes), self._tree.length
        self._tree.commit(reading)
        return {line: hidden[[row - first for row in rows]] for line, rows in reading.lines.items()}

    def _pass(self, llm: Mllm, reading: Reading[Key], some: _Pass, embeds: Tensor) -> Tensor:
        """Some new rows of a reading, of which all are embedded -> their hidden states [L, D]."""
        start, end, alone = some
        self._on_forward(end - start)
        embeds = embeds[:, start:end]
        positions = torch.tensor(reading.positions[start:end], device=embeds.device)
        if alone:
            way = self._tree.way(reading, start)
            hidden = llm(embeds, positions, _Way(self._cache, way, end - start, embeds.device))
        else:
            mask = self._tree.mask(reading, start, end).to(embeds.device)
            hidden = llm(embeds, positions, self._cache, mask)
        return rearrange(hidden, "1 l d -> l d")

    def _embeds(
        self, llm: Mllm, keys: Sequence[Key], features: Mapping[str, Tensor], like: Tensor
    ) -> Tensor:
        """Keys of rows -> [1, L, D]."""
        slots = [key for key in keys if isinstance(key, tuple)]
        rows = {
            name: llm.input_resampler(features[name][None].to(like.device, like.dtype))[0]
            for name in dict(slots)
        }
        pictures = [rows[name][slot] for name, slot in slots]
        return llm.embed(
            torch.tensor(
                [[0 if isinstance(key, tuple) else key for key in keys]], device=like.device
            ),
            torch.tensor([[isinstance(key, tuple) for key in keys]], device=like.device),
            torch.stack(pictures) if pictures else like.new_empty(0, self._config.width),
            like.dtype,
        )


class _Way:
    """A cache of which one line only is seen; stands where the model has a `KvCache`."""

    def __init__(self, cache: KvCache, way: Sequence[int], new: int, device: torch.device) -> None:
        self._cache, self.length = cache, len(way)
        own = range(cache.length, cache.length + new)
        self._seen = torch.tensor([*way, *own], device=device)
        self._all = len(self._seen) == cache.length + new  # rows ascend, so it is they in order

    def append(
        self, layer: int, keys: Tensor, values: Tensor, plain: Tensor
    ) -> tuple[Tensor, Tensor]:
        """New rows [B, H, L, D] -> keys and values of the line's rows and these."""
        both = self._cache.append(layer, keys, values, plain)
        if self._all:
            return both
        return both[0][:, :, self._seen], both[1][:, :, self._seen]

    def advance(self, rows: int) -> None:
        """Count the rows appended to every layer as kept."""
        self._cache.advance(rows)


class _Pass(NamedTuple):
    """New rows ``start`` to ``end`` of a reading; ``alone``: over their own line's rows."""

    start: int
    end: int
    alone: bool


def _passes(reading: Reading[Key]) -> Iterator[_Pass]:
    """Long runs of new rows alone, and what lies between them together."""
    begun = 0
    for start, end in reading.runs:
        if end - start >= LONG:
            if start > begun:
                yield _Pass(begun, start, False)
            yield _Pass(start, end, True)
            begun = end
    if len(reading.keys) > begun:
        yield _Pass(begun, len(reading.keys), False)
