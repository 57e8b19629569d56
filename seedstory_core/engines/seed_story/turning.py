"""A cache whose rows can take other positions, for the sink.

Rotary positions are turned into the keys. When rows in the middle leave and the others move up,
the keys must be turned anew; turning the turned ones on would gather rounding with every eviction.
So every key is kept twice: turned, as attention reads it, and plain, for the next eviction. Between
evictions it costs nothing but memory (half as much again), and keys are always as if just written.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...context import ContextPolicy
from ...kv_cache import Buffers, KvCache
from .config import LlmConfig
from .llama import rotary, rotate


class TurningCache(KvCache):
    """Rows that stay at an eviction take the positions 0 to n - 1."""

    def __init__(self, config: LlmConfig, buffers: Callable[[int], Buffers] = Buffers) -> None:
        super().__init__(config.layers, buffers)
        self._config = config
        self._plain = buffers(config.layers)

    @property
    def _buffers(self) -> tuple[Buffers, ...]:
        return self._keys, self._values, self._plain

    def append(
        self, layer: int, keys: Tensor, values: Tensor, plain: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `KvCache.append`; ``plain`` must be given."""
        assert plain is not None
        self._plain.write(layer, self.length, plain)
        return super().append(layer, keys, values)

    def _keep(self, rows: Tensor) -> None:
        count = len(rows)
        dtype = self._plain.view(0, count).dtype
        turn = rotary(torch.arange(count, device=rows.device), self._config, dtype)
        for layer in range(self._layers):
            self._values.keep(layer, rows)
            plain = self._plain.keep(layer, rows)
            self._keys.write(layer, 0, rotate(plain, *turn))


def cache_for(policy: ContextPolicy, config: LlmConfig) -> KvCache:
    """An empty cache that can do what ``policy`` asks of it."""
    return TurningCache(config) if policy.reindexes else KvCache(config.layers)
