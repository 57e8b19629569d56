"""Checkpoints: pickles that mean harm, zips of torch, shards, and files under another's name."""

from __future__ import annotations

import argparse
import io
import random
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from seedstory_core.weights.reader import open_checkpoint

from .. import damage, odd, tensors, zips

NAMES = ("model.bin", "model.pt", "model.pth", "model.ckpt", "model.safetensors", "MODEL.BIN",
         "model", "model.sft", "model.SAFETENSORS", "model.bin.index.json")  # fmt: skip
DISGUISES = (
    b"<!DOCTYPE html><html>404</html>", b"version https://git-lfs.github.com/spec/v1\n", b"{}",
    b"", b"PK\x03\x04", b"GGUF\x03\0\0\0", b"\x80\x02.", b"\x80\x04N.", b"(dp0\n.",
    b"{\"error\": \"Entry not found\"}", b"\x1f\x8b\x08\0", b"\x80", b"PK\x05\x06" + bytes(18)
)  # fmt: skip
#: Opcodes of pickles, alone or with what follows them.
OPCODES = (
    b"\x80\x02", b"cos\nsystem\n", b"cbuiltins\neval\n", b"ctorch\nload\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n",
    b"ctorch\nFloatStorage\n", b"ctorch\nSize\n", b"ctorch\nTensor\n", b"(", b")", b"}", b"]",
    b"t", b"R", b"o", b"b", b"0", b"2", b"1", b"s", b"u", b"e", b"a", b"Q", b"l", b"d",
    b"X\x02\0\0\0ab", b"X\xff\xff\xff\xff", b"I7\n", b"I" + b"9" * 5000 + b"\n", b"K\x05",
    b"J\xff\xff\xff\x7f", b"\x8a\x01\x05", b"\x8b\xff\xff\xff\x7f", b"N", b"\x88", b"\x89",
    b"q\0", b"h\0", b"r\xff\xff\xff\xff", b"j\xff\xff\xff\x7f", b"P0\n", b"F1e999\n",
    b"G" + b"\x7f" * 8, b"U\x03abc", b"V\\ud800\n", b"\x85", b"\x86", b"\x87", b"\x81", b"\x92",
    b"\x8f", b"\x90", b"\x91", b"\x93", b"\x94", b"\x95" + b"\xff" * 8, b"\x96" + b"\xff" * 8,
    b"i" + b"os\nsystem\n", b"."
)  # fmt: skip


class Harmful:
    """Runs something when it is unpickled by a reader that lets it."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("touch /tmp/seedstory-was-run",)


@lru_cache(maxsize=1)
def sound() -> dict[str, bytes]:
    """Checkpoints of every form, small."""
    tensors_ = {"a.weight": torch.ones(2, 3), "b.bias": torch.zeros(4).half(), "c": torch.arange(3)}
    shared = torch.arange(12.0)
    values: dict[str, object] = {
        "plain": tensors_, "wrapped": {"state_dict": tensors_, "epoch": 3}, "empty": {},
        "view": {"a": shared[2:8].view(2, 3), "b": shared[:4]}, "list": [1, 2],
        "harm": {"a": Harmful()},
        "namespace": {"state_dict": tensors_, "args": argparse.Namespace(lr=1)},
        "deep": _deep(900),
        "names": {"\ud800".encode(errors="replace").decode(): torch.ones(1), 5: torch.ones(1)},
        "odd": {"a": torch.ones(2).to_sparse(), "b": torch.ones(2, dtype=torch.complex64)},
        "meta": {"a": torch.empty(2, device="meta")},
        "parameter": {"a": torch.nn.Parameter(torch.ones(2))},
    }  # fmt: skip
    made = {}
    for name, value in values.items():
        for form, modern in (("zip", True), ("old", False)):
            buffer = io.BytesIO()
            torch.save(value, buffer, _use_new_zipfile_serialization=modern)
            made[f"{name} {form}"] = buffer.getvalue()
    made["safetensors"] = save({"a.weight": torch.ones(2, 3), "b": torch.zeros(4).half()})
    return made


def _deep(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth // 10):
        value = [value]
    return value


def disguised(rng: random.Random) -> bytes:
    """Anything but what the name says."""
    files = list(sound().values())
    return rng.choice((*DISGUISES, *files)) if rng.random() < 0.6 else damage.noise(rng)


def stream(rng: random.Random) -> bytes:
    """Opcodes in any order, behind a protocol mark."""
    return b"\x80\x02" + b"".join(rng.choices(OPCODES, k=rng.choice((1, 3, 8, 30, 300)))) + b"."


def checkpoint(rng: random.Random) -> bytes:
    """One file."""
    name, data = rng.choice(list(sound().items()))
    roll = rng.random()
    if roll < 0.1:
        return data
    if roll < 0.2:
        return disguised(rng)
    if roll < 0.3:
        return stream(rng)
    if name == "safetensors":
        return tensors.mutated(rng, data)
    if name.endswith("zip") and roll < 0.7:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
        inner = next(name for name in members if name.endswith("data.pkl"))
        if roll < 0.5:
            members[inner] = rng.choice((stream, lambda r: damage.damaged(r, members[inner])))(rng)
            return zips.packed(members)
        return zips.mutated(rng, members)
    return damage.damaged(rng, data)


def index(rng: random.Random, names: list[str]) -> bytes:
    """An index of shards."""
    table = {"metadata": {"total_size": 30}, "weight_map": {"a.weight": names[0], "b": names[-1]}}
    return odd.encoded(rng, odd.mutated(rng, table) if rng.random() < 0.8 else table)


class Checkpoints:
    """Files, shards and folders, as `open_checkpoint` is given them."""

    name = "checkpoint"

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        path = folder / rng.choice(NAMES)
        path.write_bytes(checkpoint(rng))
        target = path
        if rng.random() < 0.2:
            table = folder / f"{rng.choice(('model.safetensors', 'pytorch_model.bin'))}.index.json"
            table.write_bytes(index(rng, [path.name, rng.choice((path.name, *odd.NAMES))]))
            target = table
        if rng.random() < 0.2:
            target = folder
        return lambda: _all_of(target)


def _all_of(path: Path) -> None:
    """Everything a reader of the checkpoint asks for."""
    found = open_checkpoint(path)
    for key in found.keys()[:50]:
        key.encode()
        shape, dtype = found.shape(key), found.dtype(key)
        tensor = found.tensor(key)
        assert tuple(tensor.shape) == tuple(shape) and tensor.dtype == dtype
        if tensor.numel() and tensor.device.type == "cpu" and not tensor.is_sparse:
            tensor.reshape(-1)[-1].item()
