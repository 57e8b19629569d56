"""Safetensors files, sound and with a header that promises something else."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

from . import odd
from .damage import NUMBERS, damaged, noise

DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL", "F8_E4M3",
          "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0", "F4", "F6_E2M3", "U16", "U32", "U64",
          "C64", "", "f32", "X")  # fmt: skip
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "F8_E4M3": 1}


def table(tensors: Mapping[str, tuple[str, list[int], bytes]]) -> tuple[dict[str, Any], bytes]:
    """Header and data of ``{name: (dtype, shape, data)}``."""
    header: dict[str, Any] = {}
    at = 0
    for name, (dtype, shape, data) in tensors.items():
        offsets = [at, at + len(data)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        at += len(data)
    return header, b"".join(data for _, _, data in tensors.values())


def packed(header: bytes, data: bytes) -> bytes:
    """The file of a header and its data."""
    return len(header).to_bytes(8, "little") + header + data


def parsed(file: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and data of a sound file."""
    size = int.from_bytes(file[:8], "little")
    return json.loads(file[8 : 8 + size]), file[8 + size :]


def mutated(rng: random.Random, file: bytes) -> bytes:
    """A sound file with another header, length or bytes."""
    header, data = parsed(file)
    roll = rng.random()
    if roll < 0.35:
        return packed(odd.encoded(rng, odd.mutated(rng, header)), data)
    if roll < 0.5:
        return packed(json.dumps(_changed(rng, header, data)).encode(), data)
    if roll < 0.58:
        return packed(
            json.dumps(header).encode(), rng.choice((data[:-1], data + b"\0", b"", noise(rng)))
        )
    if roll < 0.66:
        number = rng.choice((*NUMBERS, 1 << 40, (1 << 63) - 1, (1 << 64) - 1, len(file)))
        return number.to_bytes(8, "little") + file[8:]
    if roll < 0.72:
        return packed(json.dumps(many(rng)).encode(), bytes(20_000))
    if roll < 0.76:
        return packed(json.dumps(header).encode(), bytes(rng.choices(_HALVES, k=len(data))))
    return damaged(rng, file) if roll < 0.96 else noise(rng)


_HALVES = (0xFF, 0x7F, 0x7C, 0xFC, 0x80, 0)  # bytes of infinite numbers and of those that are none


def _changed(rng: random.Random, header: dict[str, Any], data: bytes) -> dict[str, Any]:
    """One tensor of another type, shape, place or name."""
    header = {name: dict(entry) for name, entry in header.items()}
    names = [name for name in header if name != "__metadata__"]
    if not names:
        return header
    name = rng.choice(names)
    entry, roll = header[name], rng.randrange(7)
    if roll == 0:
        entry["dtype"] = rng.choice(DTYPES)
    elif roll == 1:
        entry["shape"] = entry["shape"][::-1] + [1] * rng.choice((0, 1, 70, 5000))
    elif roll == 2:
        entry["shape"] = rng.choice(([], [0], [1 << 62, 4], [-1], [1 << 32, 1 << 32, 0], [1.5]))
    elif roll == 3:
        dtype = rng.choice(list(SIZES))
        size = (entry["data_offsets"][1] - entry["data_offsets"][0]) // SIZES[dtype]
        entry |= {"dtype": dtype, "shape": [size]}
    elif roll == 4:
        at = rng.randrange(len(data) + 2)
        entry["data_offsets"] = rng.choice(([at, at], [at, 0], [0, at], [0, len(data)], [-1, at]))
    elif roll == 5:
        header[rng.choice((*odd.TEXTS[:30], "__metadata__"))] = header.pop(name)
    else:
        header["__metadata__"] = rng.choice(({"a": "b"}, {"a": 1}, [], "x", {"a": "b" * 100_000}))
    return header


def many(rng: random.Random) -> dict[str, Any]:
    """A header of very many small tensors."""
    count = rng.choice((200, 2000, 20_000))
    return {
        f"t{i}": {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]} for i in range(count)
    }
