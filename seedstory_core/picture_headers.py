"""What of a picture file goes to its decoder: the parts that pixels are made of, and no others.

Texts, profiles, thumbnails and further frames cost a decoder memory and time out of all relation to
the file: a text that unpacks a thousandfold, thousands of tags that all name the same bytes,
comments joined one by one. None of them is needed. So headers are walked here, with bounds, and the
decoder gets a file in which only sizes, palettes and pixels are left; how the picture is to be
turned (EXIF) is read beside it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import IO, NamedTuple

MAX_PARTS = 4096  # segments, chunks or blocks before the pixels; cameras write tens
MAX_SCANS = 100  # of a JPEG; each costs a walk over the whole picture, encoders write about ten
SCANNED = 1_600_000_000  # pixels in all scans together
MAX_VALUES = 1 << 18  # of one TIFF tag: a palette has at most 3 << 16, a picture a strip a row
_PIECE = 1 << 20  # bytes searched at once
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_IEND = b"\0\0\0\0IEND\xaeB`\x82"
_KEPT_CHUNKS = (b"IHDR", b"PLTE", b"tRNS")
_ORIENTATION = 0x0112
_TIFFS = {b"II*\0": "<", b"MM\0*": ">"}
#: Tags that say where and how the pixels lie: sizes, packing, palette, JPEG tables, colour space.
_KEPT_TAGS = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324}
    | {325, 332, 338, 339, 347, 529, 530, 531, 532}
)


class Damaged(ValueError):
    """A header that no program writes; the message completes "is damaged"."""


class Spliced:
    """A file to read whose beginning and end are others: ``head``, a part of ``file``, ``tail``."""

    def __init__(self, head: bytes, file: IO[bytes], start: int, end: int, tail: bytes) -> None:
        self._head, self._file, self._tail = head, file, tail
        self._start, self._middle = start, end - start
        self._at, self.size = 0, len(head) + end - start + len(tail)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of every file."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError("a place before the beginning of the file")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """As of every file."""
        end = self.size if size is None or size < 0 else min(self.size, self._at + size)
        found = []
        while self._at < end:
            piece = self._piece(end - self._at)
            if not piece:  # the file has become shorter
                break
            found.append(piece)
            self._at += len(piece)
        return found[0] if len(found) == 1 else b"".join(found)

    def _piece(self, size: int) -> bytes:
        at = self._at
        if at < len(self._head):
            return self._head[at : at + size]
        at -= len(self._head)
        if at < self._middle:
            self._file.seek(self._start + at)
            return self._file.read(min(size, self._middle - at))
        at -= self._middle
        return self._tail[at : at + size]


class Bare(NamedTuple):
    """A picture file without all that is not pixels.

    Attributes:
        file: for the decoder.
        orientation: as EXIF counts them, 1 to 8; 1 where nothing is to be turned.
        scans: of a JPEG, else 1.
    """

    file: IO[bytes] | Spliced
    orientation: int = 1
    scans: int = 1


def bare(file: IO[bytes]) -> Bare:
    """The picture in ``file``, which must be able to seek, as its decoder gets it.

    Raises:
        Damaged: its header has no end, or is none.
    """
    file.seek(0)
    head = file.read(16)
    file.seek(0)
    walk: Callable[[IO[bytes], int], Bare] | None = None
    if head.startswith(_PNG):
        walk = _png
    elif head.startswith(_JPEG):
        walk = _jpeg
    elif head[:6] in (b"GIF87a", b"GIF89a"):
        walk = _gif
    elif head[:4] in _TIFFS:
        walk = _tiff
    if walk is None:
        return Bare(file)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        return walk(file, size)
    except (struct.error, IndexError) as error:
        raise Damaged("it is cut short in its header") from error


def _png(file: IO[bytes], size: int) -> Bare:
    at, begun, orientation, kept = len(_PNG), 0, 1, [_PNG]
    for _ in range(MAX_PARTS + size // 1024):
        file.seek(at)
        head = file.read(8)
        length, kind = struct.unpack(">I4s", head) if len(head) == 8 else (0, b"")
        if kind == b"IDAT":
            begun = begun or at
        elif begun:
            tail = _IEND if kind else b""
            return Bare(Spliced(b"".join(kept), file, begun, min(at, size), tail), orientation)
        elif not kind or length > size:
            raise Damaged("it is cut short in its header")
        elif kind in _KEPT_CHUNKS:
            kept.append(head + file.read(length + 4))
        elif kind == b"eXIf":
            orientation = exif_orientation(file.read(min(length, 1 << 16)))
        at += length + 12
    raise Damaged(f"it has more than {MAX_PARTS} chunks and next to nothing in them")


def _jpeg(file: IO[bytes], size: int) -> Bare:
    at, orientation, kept = 2, 1, [_JPEG]
    for _ in range(MAX_PARTS):
        file.seek(at)
        head = file.read(4)
        if head[0] != 0xFF or head[1] == 0xFF:  # what fills, and what does not belong there
            at += 1
            continue
        kind = head[1]
        if kind == 0xDA:
            whole = Spliced(b"".join(kept), file, at, size, b"")
            return Bare(whole, orientation, _scans(file, at))
        if kind <= 0x01 or 0xD0 <= kind <= 0xD9:  # markers that stand alone
            at += 2
            continue
        (length,) = struct.unpack_from(">H", head, 2)
        body = file.read(length - 2) if length > 2 else b""
        if kind == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = exif_orientation(body[6:])
        # of the notes of programs only those that say what the colours are
        if not (0xE0 <= kind <= 0xEF or kind == 0xFE) or body[:5] in (b"JFIF\0", b"Adobe"):
            kept.append(head + body)
        at += 2 + length
    raise Damaged(f"it has more than {MAX_PARTS} segments before its pixels")


def _scans(file: IO[bytes], at: int) -> int:
    """How often pixels begin in a JPEG from ``at`` on; within them 0xFF is written with a zero."""
    file.seek(at)
    found, last = 0, b""
    while piece := file.read(_PIECE):
        found += (last + piece).count(b"\xff\xda")
        last = piece[-1:]
    return found


def _gif(file: IO[bytes], size: int) -> Bare:
    head = file.read(13)
    colours = 3 << (head[10] & 7) + 1 if head[10] & 0x80 else 0
    head += file.read(colours)
    at, control = len(head), b""
    for _ in range(MAX_PARTS):
        file.seek(at)
        block = file.read(8)
        if block[0] == 0x2C:  # a frame
            return Bare(Spliced(head + control, file, at, size, b""))
        if block[0] == 0x3B:
            break
        if block[0] != 0x21:
            at += 1
        elif block[1] == 0xF9 and block[2] == 4 and block[7] == 0:  # which colour is clear
            control, at = block, at + 8
        else:
            at = _past_blocks(file, at + 2)
    raise Damaged("it has no frame, or too much before it")


def _past_blocks(file: IO[bytes], at: int) -> int:
    """Behind a row of blocks, each with its length before it and the last one empty."""
    for _ in range(MAX_PARTS):
        file.seek(at)
        length = file.read(1)[0]
        at += 1 + length
        if not length:
            return at
    raise Damaged(f"it has a comment of more than {MAX_PARTS} blocks")


def _tiff(file: IO[bytes], size: int) -> Bare:
    order = _TIFFS[file.read(4)]
    (place,) = struct.unpack(order + "I", file.read(4))
    file.seek(place)
    (count,) = struct.unpack(order + "H", file.read(2))
    entries, orientation = {}, 1
    for _ in range(min(count, MAX_PARTS)):
        entry = file.read(12)
        tag, kind, values = struct.unpack_from(order + "HHI", entry)
        if tag == _ORIENTATION:
            orientation = _turn(entry, order)
        elif tag in _KEPT_TAGS and tag not in entries:
            if values > MAX_VALUES:
                raise Damaged(f"its tag {tag} has {values} values")
            entries[tag] = struct.pack(order + "HHI", tag, kind, values) + entry[8:12]
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries.values()) + bytes(4)
    start = size + size % 2  # directories begin at even places
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(order + "I", start)
    return Bare(Spliced(head, file, 8, size, bytes(start - size) + directory), orientation)


def exif_orientation(data: bytes) -> int:
    """How EXIF data say that the picture is to be turned; 1 where they do not, or are damaged."""
    order = _TIFFS.get(data[:4])
    if order is None:
        return 1
    try:
        (place,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, place)
        for at in range(place + 2, place + 2 + 12 * min(count, MAX_PARTS), 12):
            if struct.unpack_from(order + "H", data, at)[0] == _ORIENTATION:
                return _turn(data[at : at + 12], order)
    except struct.error:
        pass
    return 1


def _turn(entry: bytes, order: str) -> int:
    """The value of a tag that should be one 16-bit number from 1 to 8."""
    _, kind, count, value = struct.unpack_from(order + "HHIH", entry)
    return value if kind == 3 and count == 1 and 1 <= value <= 8 else 1
