"""Bytes that were lost, turned, doubled or put in, without a thought for what they mean."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

NUMBERS = (0, 1, 2, 3, 4, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000,
           0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 1 << 24, 1 << 28)  # fmt: skip
DIGITS = (b"0", b"-1", b"1", b"9", b"65536", b"4294967295", b"99999999999", b"1e9", b"9" * 40,
          b"-2147483648", b"0.0000001", b"")  # fmt: skip
_NUMBER = re.compile(rb"\d+")
MOST = 1 << 16  # bytes that are put in


def damaged(rng: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """``data`` after one to a few accidents."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4, 12))):
        data = _accident(rng, data, others)
    return data


def _accident(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    if not data:
        return noise(rng)
    at = _spot(rng, len(data))
    span = min(len(data) - at, rng.choice((1, 2, 4, 16, 120, 1000)))
    roll = rng.randrange(14)
    if roll == 0:
        return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
    if roll == 1:
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    if roll == 2:
        return data[:at]
    if roll == 3:
        return data[:at] + data[at + span :]
    if roll == 4:
        return data[: at + span] + data[at : at + span] * rng.choice((1, 3)) + data[at + span :]
    if roll == 5:
        return data[:at] + noise(rng) + data[at:]
    if roll in (6, 7, 8):
        size = rng.choice((1, 2, 4, 4, 8))
        order = rng.choice(("little", "big"))
        number = rng.choice((*NUMBERS, len(data), len(data) - at, at)) % (1 << 8 * size)
        return data[:at] + number.to_bytes(size, order) + data[at + size :]
    if roll in (9, 10):
        found = list(_NUMBER.finditer(data, at, at + 4000)) or list(_NUMBER.finditer(data[:4000]))
        if not found:
            return data[:at]
        match = rng.choice(found)
        return data[: match.start()] + rng.choice(DIGITS) + data[match.end() :]
    if roll == 11:
        return data[:at] + bytes([rng.choice((0, 0xFF, 0x20))]) * span + data[at + span :]
    if roll == 12 and others:
        other = rng.choice(others)
        cut = _spot(rng, max(1, len(other)))
        return data[:at] + other[cut : cut + rng.choice((8, 100, 4000))] + data[at + span :]
    end = min(len(data), at + 2 * span)
    return data[:at] + data[at + span : end] + data[at : at + span] + data[end:]


def _spot(rng: random.Random, size: int) -> int:
    """A place: as often near the ends, where heads and tables lie, as anywhere."""
    if rng.random() < 0.3:
        return rng.randrange(min(size, 64))
    if rng.random() < 0.2:
        return size - 1 - rng.randrange(min(size, 64))
    return rng.randrange(size)


def noise(rng: random.Random) -> bytes:
    """Random bytes, few values or all."""
    size = rng.choice((0, 1, 3, 8, 64, 500, 4000))
    alphabet = rng.choice((bytes(range(256)), b"\0", b"\xff", b"0123456789", b'{}[]",:a0 ', b"PK"))
    return bytes(rng.choices(alphabet, k=size))
