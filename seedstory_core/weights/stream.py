"""Writes safetensors tensor by tensor, so that a file of any size needs the memory of one tensor.

The format: 8 bytes little-endian header length, a JSON header ``{name: {dtype, shape,
data_offsets}, "__metadata__": {text: text}}`` padded with spaces to 8 bytes, then the data without
holes. All shapes must therefore be known before the first tensor is computed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from ..errors import SeedStoryError
from ..files import atomic_path

DTYPES: dict[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
PIECE = 1 << 24  # bytes handed to hash and disk at once
ALIGN = 8


@dataclass(frozen=True)
class TensorSpec:
    """What a tensor will be: its shape and dtype."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


def header_of(specs: Mapping[str, TensorSpec], metadata: Mapping[str, str]) -> bytes:
    """The file's first bytes, length included; tensors lie in the order of ``specs``."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, spec in specs.items():
        end = offset + spec.bytes
        header[name] = {
            "dtype": DTYPES[spec.dtype],
            "shape": list(spec.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    body = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    body += b" " * (-len(body) % ALIGN)
    return len(body).to_bytes(8, "little") + body


class StreamWriter:
    """A safetensors file that is whole under its final name, or absent.

    Use as a context manager; `add` every tensor of `order` in that order. After the block
    ``sha256`` and ``bytes`` describe the finished file.

    Args:
        target: final path.
        specs: ``{name: TensorSpec}``; wider dtypes are moved to the front, so that all are aligned.
        metadata: text pairs for the header.
    """

    def __init__(
        self,
        target: Path,
        specs: Mapping[str, TensorSpec],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.target = target
        self.specs = dict(sorted(specs.items(), key=lambda item: -item[1].dtype.itemsize))
        self.order = list(self.specs)
        self.header = header_of(self.specs, metadata or {})
        self.bytes = len(self.header) + sum(spec.bytes for spec in self.specs.values())
        self.sha256 = ""
        self._digest = hashlib.sha256()
        self._next = 0
        self._stack = contextlib.ExitStack()
        self._file: IO[bytes] | None = None

    def __enter__(self) -> StreamWriter:
        with contextlib.ExitStack() as stack:
            part = stack.enter_context(atomic_path(self.target, self.bytes))
            self._file = stack.enter_context(open(part, "wb", buffering=0))
            self._write(memoryview(self.header))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if kind is None and self._next != len(self.order):
            missing = self.order[self._next]
            error = AssertionError(f"{self.target} was closed before {missing} was written")
            self._stack.__exit__(type(error), error, None)
            raise error
        self._stack.__exit__(kind, error, trace)  # type: ignore[arg-type]
        self.sha256 = self._digest.hexdigest()

    def add(self, name: str, tensor: Tensor) -> None:
        """Write the next tensor of `order`; it must have the announced shape and dtype."""
        assert self._next < len(self.order) and self.order[self._next] == name, (
            f"{name} is not next"
        )
        spec = self.specs[name]
        if tuple(tensor.shape) != spec.shape or tensor.dtype != spec.dtype:
            raise SeedStoryError(
                f"{self.target.name}: {name} was announced as {spec.shape} {spec.dtype} but came "
                f"as {tuple(tensor.shape)} {tensor.dtype}."
            )
        if spec.bytes:
            flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            self._write(flat.numpy().data)
        self._next += 1

    def _write(self, data: memoryview) -> None:
        assert self._file is not None, "enter the StreamWriter first"
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            self._digest.update(piece)
            while len(piece):
                piece = piece[self._file.write(piece) :]
