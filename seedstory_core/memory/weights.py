"""What a model's weights take: read from the headers of its file, or counted on the meta device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import nn

from ..weights.reader import open_checkpoint

#: Bytes a weight takes in the matrices of an LLM's layers (`quantised.FORMATS`); the rest stays as
#: it is. int8 has a scale for each row, int4 one in 8 bits for 16 weights as well.
QUANTISED: Mapping[str, float] = {"int8": 1.0, "int4": 0.5625}
_LAYERS = "model.layers."


@dataclass(frozen=True)
class Weights:
    """The weights of one model.

    Attributes:
        model: its name.
        stored: ``(dtype, numbers)`` as its file has them.
        largest: numbers in the largest tensor.
        matrices: numbers in the matrices of an LLM's layers, which can be quantised.
        matrix_bytes: what those take as stored.
    """

    model: str
    stored: tuple[tuple[torch.dtype, int], ...]
    largest: int = 0
    matrices: int = 0
    matrix_bytes: int = 0

    @property
    def numbers(self) -> int:
        return sum(count for _, count in self.stored)

    @property
    def bytes(self) -> int:
        """As stored."""
        return sum(dtype.itemsize * count for dtype, count in self.stored)

    @property
    def precision(self) -> str:
        """The dtype that most numbers are stored in, as ``float16``."""
        dtype = max(self.stored, key=lambda item: item[1])[0] if self.stored else torch.float16
        return str(dtype).removeprefix("torch.")

    def bytes_in(self, dtype: torch.dtype) -> int:
        """When all of them are turned into ``dtype``."""
        return self.numbers * dtype.itemsize

    def quantised(self, name: str) -> int:
        """Bytes with the layers' matrices in one of `QUANTISED`."""
        return self.bytes - self.matrix_bytes + int(self.matrices * QUANTISED[name])


def file_weights(model: str, path: Path, prefix: str = "") -> Weights:
    """Weights of a safetensors file under ``prefix``; reads the header only.

    Raises:
        SeedStoryError: the file is damaged.
    """
    checkpoint = open_checkpoint(path)
    keys = [key for key in checkpoint.keys() if key.startswith(prefix)]
    found = ((key[len(prefix) :], checkpoint.dtype(key), checkpoint.shape(key)) for key in keys)
    return _summed(model, found)


def module_weights(model: str, module: nn.Module, dtype: torch.dtype) -> Weights:
    """Weights of a module on any device, the meta device too, as if stored in ``dtype``."""
    state = module.state_dict()
    return _summed(model, ((key, dtype, tuple(value.shape)) for key, value in state.items()))


def _summed(model: str, tensors: Iterable[tuple[str, torch.dtype, tuple[int, ...]]]) -> Weights:
    stored: dict[torch.dtype, int] = {}
    largest = matrices = matrix_bytes = 0
    for key, dtype, shape in tensors:
        count = prod(shape)
        stored[dtype] = stored.get(dtype, 0) + count
        largest = max(largest, count)
        if key.startswith(_LAYERS) and len(shape) == 2:
            matrices += count
            matrix_bytes += count * dtype.itemsize
    return Weights(model, tuple(stored.items()), largest, matrices, matrix_bytes)
