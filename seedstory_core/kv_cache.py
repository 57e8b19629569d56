"""Keys and values of the rows a decoder has read. Knows no model and no tokens.

Rows count only once `advance` says so: a forward that is cancelled between two layers leaves the
cache as it was. Kept rows can be cut off at the end (`crop`), which costs nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .errors import SeedStoryError

STEP = 256  # capacity grows by multiples of this, so that appending single rows rarely copies


class KvCache:
    """One growing buffer of keys and one of values for each layer.

    Attributes:
        length: rows kept.
    """

    def __init__(self, layers: int) -> None:
        self.length = 0
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write new rows behind the kept ones of a layer.

        Args:
            keys, values: [B, H, L, D]; their dtype and device are those of the cache.

        Returns: keys and values of all rows [B, H, length + L, D], views into the buffers.
        """
        end = self.length + keys.shape[2]
        self._keys[layer] = _written(self._keys[layer], self.length, keys)
        self._values[layer] = _written(self._values[layer], self.length, values)
        all_keys, all_values = self._keys[layer], self._values[layer]
        assert all_keys is not None and all_values is not None
        return all_keys[:, :, :end], all_values[:, :, :end]

    def advance(self, rows: int) -> None:
        """Keep the ``rows`` that were appended to every layer."""
        self.length += rows

    def crop(self, length: int) -> None:
        """Keep the first ``length`` rows only."""
        if not 0 <= length <= self.length:
            raise SeedStoryError(f"Cannot crop a cache of {self.length} rows to {length}.")
        self.length = length

    def rows(self, layer: int) -> tuple[Tensor, Tensor]:
        """Kept keys and values of a layer, [B, H, length, D]."""
        keys, values = self._keys[layer], self._values[layer]
        if keys is None or values is None:
            raise SeedStoryError(f"Layer {layer} of the cache has no rows yet.")
        return keys[:, :, : self.length], values[:, :, : self.length]

    def to(self, device: torch.device) -> KvCache:
        """Move to ``device`` (kept rows only, when it is another one); returns itself."""
        self._keys = [_moved(part, device, self.length) for part in self._keys]
        self._values = [_moved(part, device, self.length) for part in self._values]
        return self

    @property
    def nbytes(self) -> int:
        """Memory held, spare capacity included."""
        return sum(part.nbytes for part in (*self._keys, *self._values) if part is not None)


def _written(buffer: Tensor | None, start: int, rows: Tensor) -> Tensor:
    """``buffer`` with ``rows`` at ``start``; a larger copy of it when they do not fit."""
    batch, heads, count, width = rows.shape
    end = start + count
    if buffer is None or buffer.shape[2] < end:
        capacity = -(-end // STEP) * STEP
        with torch.inference_mode(False):  # a buffer outlives the mode it was first filled in
            grown = rows.new_empty(batch, heads, capacity, width)
        if buffer is not None:
            grown[:, :, :start] = buffer[:, :, :start]
        buffer = grown
    assert buffer is not None
    buffer[:, :, start:end] = rows
    return buffer


def _same(device: torch.device, other: torch.device) -> bool:
    """Whether both name one device; ``cuda`` is whichever ``cuda:N`` a tensor is on."""
    return device.type == other.type and (other.index is None or device.index == other.index)


def _moved(buffer: Tensor | None, device: torch.device, length: int) -> Tensor | None:
    if buffer is None or _same(buffer.device, device):
        return buffer
    with torch.inference_mode(False):
        return buffer[:, :, :length].to(device, copy=True)
