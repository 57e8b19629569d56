"""Keys and values of the rows a decoder has read. Knows no model and no tokens.

Rows count only once `advance` says so: a forward that is cancelled between two layers leaves the
cache as it was. Kept rows can be cut off at the end (`crop`), which costs nothing, or picked out
(`keep`), which moves them up within their buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .errors import SeedStoryError

STEP = 256  # capacity grows by multiples of this, so that appending single rows rarely copies


class Buffers:
    """One growing buffer [B, H, rows, D] for each layer."""

    def __init__(self, layers: int) -> None:
        self._layers: list[Tensor | None] = [None] * layers

    def write(self, layer: int, start: int, rows: Tensor) -> Tensor:
        """``rows`` [B, H, L, D] from row ``start`` on -> all rows [B, H, start + L, D], a view."""
        self._layers[layer] = buffer = _written(self._layers[layer], start, rows)
        return buffer[:, :, : start + rows.shape[2]]

    def view(self, layer: int, length: int) -> Tensor:
        """The first ``length`` rows of a layer, [B, H, length, D]."""
        buffer = self._layers[layer]
        if buffer is None:
            raise SeedStoryError(f"Layer {layer} of the cache has no rows yet.")
        return buffer[:, :, :length]

    def keep(self, layer: int, rows: Tensor) -> Tensor:
        """Move ``rows`` [n] (indices, ascending) of a layer to its start -> [B, H, n, D], a view.

        In place: the buffer stays where it is in memory, as a captured CUDA graph needs.
        """
        buffer = self._layers[layer]
        assert buffer is not None
        return buffer[:, :, : len(rows)].copy_(buffer[:, :, rows])

    def to(self, device: torch.device, length: int) -> None:
        """Move the first ``length`` rows to ``device``, unless they are there."""
        self._layers = [_moved(buffer, device, length) for buffer in self._layers]

    @property
    def nbytes(self) -> int:
        return sum(buffer.nbytes for buffer in self._layers if buffer is not None)


class KvCache:
    """One growing buffer of keys and one of values for each layer.

    Args:
        buffers: what the rows are kept in.

    Attributes:
        length: rows kept.
    """

    def __init__(self, layers: int, buffers: Callable[[int], Buffers] = Buffers) -> None:
        self.length = 0
        self._layers = layers
        self._keys, self._values = buffers(layers), buffers(layers)

    @property
    def _buffers(self) -> tuple[Buffers, ...]:
        """Everything that is kept of a row."""
        return self._keys, self._values

    def append(
        self, layer: int, keys: Tensor, values: Tensor, plain: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Write new rows behind the kept ones of a layer.

        Args:
            keys, values: [B, H, L, D]; their dtype and device are those of the cache.
            plain: the keys before their positions were turned into them; not needed here.

        Returns: keys and values of all rows [B, H, length + L, D], views into the buffers.
        """
        return (
            self._keys.write(layer, self.length, keys),
            self._values.write(layer, self.length, values),
        )

    def advance(self, rows: int) -> None:
        """Keep the ``rows`` that were appended to every layer."""
        self.length += rows

    def crop(self, length: int) -> None:
        """Keep the first ``length`` rows only."""
        if not 0 <= length <= self.length:
            raise SeedStoryError(f"Cannot crop a cache of {self.length} rows to {length}.")
        self.length = length

    def keep(self, rows: Sequence[int]) -> None:
        """Keep these rows only, ascending; from now on row i is what ``rows[i]`` was.

        Interrupted midway, the cache is empty.
        """
        bounded = [-1, *rows, self.length]
        if any(before >= after for before, after in zip(bounded, bounded[1:], strict=False)):
            raise SeedStoryError(f"Rows to keep must ascend within a cache of {self.length} rows.")
        index = torch.tensor(rows, dtype=torch.long, device=self._keys.view(0, 0).device)
        self.length = 0
        self._keep(index)
        self.length = len(rows)

    def rows(self, layer: int) -> tuple[Tensor, Tensor]:
        """Kept keys and values of a layer, [B, H, length, D]."""
        return self._keys.view(layer, self.length), self._values.view(layer, self.length)

    def to(self, device: torch.device) -> KvCache:
        """Move to ``device`` (kept rows only, when it is another one); returns itself."""
        for buffers in self._buffers:
            buffers.to(device, self.length)
        return self

    @property
    def nbytes(self) -> int:
        """Memory held, spare capacity included."""
        return sum(buffers.nbytes for buffers in self._buffers)

    def _keep(self, rows: Tensor) -> None:
        for buffers in self._buffers:
            for layer in range(self._layers):
                buffers.keep(layer, rows)


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
