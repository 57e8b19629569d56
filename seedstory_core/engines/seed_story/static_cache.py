"""Caches that stay where they are in memory, as captured CUDA graphs need.

A buffer is made once, for many rows, with zeros behind the kept ones: a captured step reads a
fixed number of rows and masks those that are not there yet, and zeros are safe to mask. Everything
else is as in the growing caches. What was captured over a cache lives in it, so that it goes when
the cache is moved to the CPU or dropped.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ...context import ContextPolicy
from ...kv_cache import STEP, Buffers, KvCache
from .config import LlmConfig
from .turning import TurningCache

ROWS = 5 * STEP  # a window of 8 panels of the released model has 1046 rows at most


class StaticBuffers(Buffers):
    """One buffer [B, H, rows, D] for each layer, made for ``ROWS`` rows and doubled when full.

    Attributes:
        moves: how often buffers came to lie elsewhere.
    """

    def __init__(self, layers: int) -> None:
        super().__init__(layers)
        self.moves = 0

    def write(self, layer: int, start: int, rows: Tensor) -> Tensor:
        self._reserve(layer, start + rows.shape[2], rows)
        return super().write(layer, start, rows)

    def reserve(self, rows: int) -> None:
        """Make room for ``rows`` rows in layers that have some already."""
        for layer, buffer in enumerate(self._layers):
            if buffer is not None:
                self._reserve(layer, rows, buffer)

    def whole(self, layer: int) -> Tensor:
        """The buffer of a layer with its spare rows, [B, H, rows, D]."""
        buffer = self._layers[layer]
        assert buffer is not None
        return buffer

    def to(self, device: torch.device, length: int) -> None:
        before = self._layers
        super().to(device, length)
        self.moves += any(a is not b for a, b in zip(before, self._layers, strict=True))

    def _reserve(self, layer: int, rows: int, like: Tensor) -> None:
        buffer = self._layers[layer]
        if buffer is not None and buffer.shape[2] >= rows:
            return
        capacity = ROWS
        while capacity < rows:
            capacity *= 2
        batch, heads, _, width = like.shape
        with torch.inference_mode(False):  # a buffer outlives the mode it was first filled in
            grown = like.new_zeros(batch, heads, capacity, width)
        if buffer is not None:
            grown[:, :, : buffer.shape[2]] = buffer
        self._layers[layer] = grown
        self.moves += 1


class Captured(Protocol):
    """A step over one cache, ready to run again."""

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        ...


class Lane:
    """A cache as a captured step sees it (`llama.Cache`): fixed buffers, rows named by a tensor.

    Args:
        buffers: of keys, of values, and of plain keys where they are kept.
        rows: [L], where the step's rows go.
        span: how many rows the step reads.
    """

    length = 0  # the step brings its own mask

    def __init__(self, buffers: tuple[StaticBuffers, ...], rows: Tensor, span: int) -> None:
        self._buffers, self._rows, self.span = buffers, rows, span

    def append(
        self, layer: int, keys: Tensor, values: Tensor, plain: Tensor
    ) -> tuple[Tensor, Tensor]:
        """New rows [B, H, L, D] -> keys and values of the first ``span`` rows."""
        for buffers, new in zip(self._buffers, (keys, values, plain), strict=False):
            buffers.whole(layer).index_copy_(2, self._rows, new)
        all_keys, all_values = (buffers.whole(layer) for buffers in self._buffers[:2])
        return all_keys[:, :, : self.span], all_values[:, :, : self.span]

    def advance(self, rows: int) -> None:
        """Nothing: the cache itself counts, when the step has run."""


class Static(KvCache):
    """What static caches have in common.

    Attributes:
        captured: by rows and span, the steps that were captured over these buffers.
    """

    captured: dict[tuple[int, int], Captured]
    _moves = 0

    def lane(self, rows: Tensor, span: int) -> Lane:
        """This cache for a captured step; see `Lane`."""
        return Lane(self._static, rows, span)

    def reserve(self, rows: int) -> None:
        """Make room for ``rows`` rows; steps captured over buffers that moved are dropped."""
        for buffers in self._static:
            buffers.reserve(rows)
        self._drop_stale()

    def to(self, device: torch.device) -> KvCache:
        super().to(device)
        self._drop_stale()
        return self

    @property
    def nbytes(self) -> int:
        """Memory held, spare capacity and captured steps included."""
        return super().nbytes + sum(step.nbytes for step in self.captured.values())

    @property
    def _static(self) -> tuple[StaticBuffers, ...]:
        return tuple(buffers for buffers in self._buffers if isinstance(buffers, StaticBuffers))

    def _drop_stale(self) -> None:
        moves = sum(buffers.moves for buffers in self._static)
        if moves != self._moves:
            self._moves = moves
            self.captured.clear()


class StaticKvCache(Static):
    """A `KvCache` over `StaticBuffers`."""

    def __init__(self, layers: int) -> None:
        super().__init__(layers, StaticBuffers)
        self.captured = {}


class StaticTurningCache(Static, TurningCache):
    """A `TurningCache` over `StaticBuffers`."""

    def __init__(self, config: LlmConfig) -> None:
        TurningCache.__init__(self, config, StaticBuffers)
        self.captured = {}


def static_cache_for(policy: ContextPolicy, config: LlmConfig) -> Static:
    """As `turning.cache_for`, over static buffers."""
    return StaticTurningCache(config) if policy.reindexes else StaticKvCache(config.layers)
