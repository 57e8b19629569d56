"""The story file attached to a PDF, found by its own bytes.

A PDF's structure is not followed: that can go in circles, and its filters can start other programs
or unpack without end. Streams are looked at one after the other instead, and the one that holds a
story is taken: stored, as books are written here, or deflated, as other programs pack them again.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator

from ..errors import SeedStoryError
from ..files import human
from ..story_reader import MANIFEST
from .archive import MAX_RATIO, SLACK, Archive

MAX_TRIES = 16  # attached archives that are looked into
_DICTIONARY = 1024  # bytes before a stream in which its dictionary begins
_HEAD = 4096  # bytes that say whether a deflated stream is a zip; its tables come first
_STREAM = re.compile(rb"(?<!end)stream\r?\n")
_LENGTH = re.compile(rb"/Length\s{0,9}(\d{1,10})(\s{1,9}\d{1,5}\s{1,9}R)?")
_FILTER = re.compile(rb"/Filter\s{0,9}(\[?)\s{0,9}/([A-Za-z0-9]{1,40})\s{0,9}(/?)")
_ZIP = b"PK\x03\x04"


def attached_story(pdf: bytes, where: str) -> bytes | None:
    """The bytes of the story file attached to a PDF; None where none is.

    Raises:
        SeedStoryError: an attachment unpacks out of all relation to its size, or the PDF is
            encrypted.
    """
    first = None
    for number, data in enumerate(_archives(pdf, where)):
        first = data if first is None else first
        if number == MAX_TRIES:
            break
        if _tells(data):
            return data
    if first is None and b"/Encrypt" in pdf:
        raise SeedStoryError(
            f"{where} is a PDF that cannot be read: it is encrypted. Save it without a password."
        )
    return first  # whoever opens it says what is wrong with it


def _tells(data: bytes) -> bool:
    try:
        with Archive(io.BytesIO(data), "the attachment", len(data)) as archive:
            return MANIFEST in archive.names
    except SeedStoryError:
        return False


def _archives(pdf: bytes, where: str) -> Iterator[bytes]:
    """Streams that are zips, in order."""
    at = 0
    while (found := _STREAM.search(pdf, at)) is not None:
        at = found.end()
        least = max(0, found.start() - _DICTIONARY)
        head = pdf[max(least, pdf.rfind(b"obj", least, found.start())) : found.start()]
        packing = _FILTER.search(head)
        if packing is None:
            if pdf.startswith(_ZIP, at):
                end = _end(pdf, head, at)
                yield pdf[at:end]
                at = end
        elif packing[2] == b"FlateDecode" and b"EmbeddedFile" in head:
            alone = not (packing[1] and packing[3])
            data = _inflated(pdf, at, where) if alone else None
            if data is not None:
                yield data


def _end(pdf: bytes, head: bytes, at: int) -> int:
    """Where the stream ends that begins at ``at``: by its length, else by the word behind it."""
    length = _LENGTH.search(head)
    if length is not None and length[2] is None:
        return min(len(pdf), at + int(length[1]))
    end = pdf.find(b"endstream", at)
    return len(pdf) if end < 0 else end


def _inflated(pdf: bytes, at: int, where: str) -> bytes | None:
    """The zip that a deflated stream holds; None where it holds something else."""
    packed = memoryview(pdf)[at:]
    try:
        if zlib.decompressobj().decompress(packed[:_HEAD], len(_ZIP)) != _ZIP:
            return None
        machine, found, used, grown = zlib.decompressobj(), [], 0, 0
        while used < len(packed) and not machine.eof:
            piece = packed[used : used + SLACK // 64]
            used += len(piece)
            found.append(machine.decompress(piece, MAX_RATIO * used + SLACK - grown + 1))
            grown += len(found[-1])
            if grown > MAX_RATIO * used + SLACK:
                raise SeedStoryError(
                    f"{where} is a PDF that cannot be read: its attachment unpacks to more than "
                    f"{human(grown)}. It was made to fill the memory."
                )
    except zlib.error:
        return None
    return b"".join(found)
