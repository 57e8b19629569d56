"""Which characters a font file has, read from its character map (no font library needed).

Reads TrueType, OpenType and collections (``.ttc``). Formats 4 and 12 of the map cover every font of
today. Fonts without outlines (bitmap emoji) count as having nothing, since they cannot be scaled.
Format: OpenType specification, chapter "cmap".
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

MAX_CODE = 0x10FFFF
MAX_FACES = 64
MAX_TABLE = 8 << 20  # bytes; the largest maps of real fonts take 1 MB
MOST_CODES = 1_000_000  # of all maps of a font together; real ones name 200,000 at most
OUTLINES = (b"glyf", b"CFF ", b"CFF2")
UNICODE = ((3, 10), (0, 4), (0, 6), (3, 1), (0, 3), (0, 2), (0, 1), (0, 0))  # best first

Ranges = tuple[tuple[int, int], ...]


@lru_cache(maxsize=4096)
def face_ranges(path: Path) -> tuple[Ranges, ...]:
    """Sorted inclusive code point ranges for each face of a font file; none if it is no font."""
    try:
        with path.open("rb") as file:
            return tuple(_face(file, offset) for offset in _faces(file))
    except (OSError, struct.error, ValueError):
        return ()


def has(ranges: Ranges, char: str) -> bool:
    """Whether the face with these ranges has ``char``."""
    code = ord(char)
    place = bisect_right(ranges, (code, MAX_CODE)) - 1
    return place >= 0 and code <= ranges[place][1]


def _faces(file: BinaryIO) -> list[int]:
    tag = file.read(4)
    if tag != b"ttcf":
        return [0]
    _, count = struct.unpack(">II", file.read(8))
    return list(struct.unpack(f">{min(count, MAX_FACES)}I", file.read(4 * min(count, MAX_FACES))))


def _face(file: BinaryIO, offset: int) -> Ranges:
    file.seek(offset + 4)
    (count,) = struct.unpack(">H", file.read(2))
    file.seek(offset + 12)
    tables: dict[bytes, tuple[int, int]] = {}
    for _ in range(count):
        tag, _, start, length = struct.unpack(">4sIII", file.read(16))
        tables[tag] = (start, length)
    if b"cmap" not in tables or not any(tag in tables for tag in OUTLINES):
        return ()
    start, length = tables[b"cmap"]
    file.seek(start)
    return tuple(sorted(_map(file.read(min(length, MAX_TABLE)))))


def _map(table: bytes) -> Iterator[tuple[int, int]]:
    (count,) = struct.unpack_from(">H", table, 2)
    offsets = {}
    unicode = []
    for index in range(count):
        platform, encoding, offset = struct.unpack_from(">HHI", table, 4 + 8 * index)
        offsets[platform, encoding] = offset
        if platform == 0 or (platform, encoding) in UNICODE:
            unicode.append(offset)
    maps = _bounded(table, unicode)
    for kind in UNICODE:
        if kind in offsets and (found := maps[offsets[kind]]) is not None:
            yield from found
            return


def _bounded(table: bytes, offsets: Iterable[int]) -> dict[int, list[tuple[int, int]] | None]:
    """(first, last) of each map, None where its format is not read.

    Libraries that cut fonts down list every character that any map names, as often as it does:
    in ranges that overlap, a few bytes name more than fit into memory.
    """
    maps: dict[int, list[tuple[int, int]] | None] = {}
    named = 0
    for offset in dict.fromkeys(offsets):
        (form,) = struct.unpack_from(">H", table, offset)
        ranges = _segments(table, offset) if form == 4 else _groups(table, offset)
        found = []
        for first, last in ranges if form in (4, 12, 13) else ():
            found.append((first, last))
            named += max(1, last - first + 1)
            if named > MOST_CODES:
                raise ValueError(f"its maps name more than {MOST_CODES} characters")
        maps[offset] = found if form in (4, 12) else None
    return maps


def _groups(table: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Formats 12 and 13: (first, last, glyph) in 32 bits."""
    (count,) = struct.unpack_from(">I", table, at + 12)
    for index in range(min(count, MAX_TABLE // 12)):
        first, last, _ = struct.unpack_from(">III", table, at + 16 + 12 * index)
        yield first, last


def _segments(table: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Format 4: parallel arrays of 16 bits; the last segment only marks the end."""
    (double,) = struct.unpack_from(">H", table, at + 6)
    count = double // 2
    lasts = struct.unpack_from(f">{count}H", table, at + 14)
    firsts = struct.unpack_from(f">{count}H", table, at + 16 + double)
    for first, last in zip(firsts, lasts, strict=True):
        if first != 0xFFFF:
            yield first, last
