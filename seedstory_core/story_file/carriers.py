"""Files that carry a story inside: PNG, PDF, EPUB, CBZ, HTML. What they carry is the story file.

* PNG: a chunk ``stRy`` (ancillary, private, safe to copy) before the end of the file;
* PDF: an attachment named ``story.seedstory``;
* EPUB and CBZ, zips themselves: a member of that name, in any folder;
* HTML: a data URL of the media type `MEDIA_TYPE`, as the target of a link.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import string
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from ..errors import SeedStoryError
from ..files import human
from ..plain_files import open_chosen
from ..story_reader import MANIFEST, load_story
from ..types import Json, Story
from .archive import ATTACHMENT, MEDIA_TYPE, SUFFIX, Archive, open_archive
from .attachment import attached_story
from .unpack import open_story_bytes, story_in

#: Bytes of a story that a PNG carries at most: below the 100 MB that ComfyUI takes by default as
#: an upload (``--max-upload-size``), so that what was saved can be dropped in again.
MAX_CARRIED = 96 << 20
MAX_CARRIER = 2 << 30  # bytes of a file that is searched
CHUNK_TYPE = b"stRy"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ZIP, _PDF = b"PK\x03\x04", b"%PDF-"
_DATA_URL = b"data:%s;base64," % MEDIA_TYPE.encode()
_NO_BASE64 = re.compile(rb"[^A-Za-z0-9+/=\s]")
_BLANKS = string.whitespace.encode()


def embed_in_png(png: bytes, story: bytes | None, text: Mapping[str, Json] | None = None) -> bytes:
    """``png`` with a story file and texts inside; its pixels and other chunks stay as they are.

    Args:
        png: a whole PNG file.
        story: from `pack_story`; None for none.
        text: JSON values by keyword, as ComfyUI's ``prompt`` and ``workflow``, which it finds when
            the file is dropped on its canvas.

    Raises:
        SeedStoryError: no PNG, or a story larger than `MAX_CARRIED`.
    """
    if story is not None and len(story) > MAX_CARRIED:
        raise SeedStoryError(
            f"The story takes {human(len(story))}; a PNG carries at most {human(MAX_CARRIED)}. "
            "Save it as a story file beside the pictures."
        )
    chunks = _chunks(io.BytesIO(png), "the PNG")
    kept = [(kind, data) for kind, data in chunks if kind != CHUNK_TYPE]
    texts = [
        (b"tEXt", _keyword(key) + b"\0" + json.dumps(value).encode())
        for key, value in (text or {}).items()
    ]
    own = [] if story is None else [(CHUNK_TYPE, story)]
    # texts before the pixels, where every reader looks; the story last, where none stumbles on it
    parts = [kept[0], *texts, *kept[1:-1], *own, kept[-1]]
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in parts)


def _keyword(key: str) -> bytes:
    """What a PNG can call a text."""
    word = key.encode("latin-1", errors="ignore")
    if word.decode("latin-1") != key or not 1 <= len(word) <= 79 or b"\0" in word:
        raise SeedStoryError(
            f"A PNG cannot keep a text under the name {key!r:.90}: expected 1 to 79 Latin letters. "
            "Give it another name."
        )
    return word


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunks(file: IO[bytes], where: str) -> Iterator[tuple[bytes, bytes]]:
    """Type and data of every chunk of a PNG, one in memory at a time, the last being IEND."""
    left = file.seek(0, os.SEEK_END) - len(_SIGNATURE)
    file.seek(0)
    if file.read(len(_SIGNATURE)) != _SIGNATURE:
        raise SeedStoryError(f"{where} is not a PNG file.")
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", file.read(8)) if left >= 12 else (left, b"")
        left -= 12 + length
        if left < 0:
            raise SeedStoryError(f"{where} is a PNG that is cut short. Get another copy of it.")
        data = file.read(length)
        if struct.unpack(">I", file.read(4))[0] != zlib.crc32(data, zlib.crc32(kind)):
            raise SeedStoryError(f"{where} is a PNG that is damaged. Get another copy of it.")
        yield kind, data


def read_png_text(png: bytes, where: str = "the PNG") -> dict[str, str]:
    """The ``tEXt`` chunks of a PNG file, by keyword."""
    chunks = _chunks(io.BytesIO(png), where)
    found = [data.partition(b"\0") for kind, data in chunks if kind == b"tEXt"]
    return {key.decode("latin-1"): value.decode("latin-1") for key, _, value in found}


def read_carried(path: Path) -> bytes | None:
    """The story file that ``path`` is or carries; None where it carries none.

    Raises:
        SeedStoryError: no such file, one too large to be searched, or a damaged carrier.
    """
    with open_chosen(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_CARRIER:
            raise SeedStoryError(f"{path} is larger than {human(MAX_CARRIER)}; it is not searched.")
        if path.suffix.lower() == SUFFIX:
            return file.read()
        head = file.read(1024)
        file.seek(0)
        if head.startswith(_SIGNATURE):
            chunks = _chunks(file, str(path))
            return next((data for kind, data in chunks if kind == CHUNK_TYPE), None)
        if head.startswith(_ZIP):
            return _from_zip(path)
        return attached_story(file.read(), str(path)) if _PDF in head else _from_page(file, path)


def _from_zip(path: Path) -> bytes | None:
    with open_archive(path) as archive:
        if MANIFEST in archive.names:
            return path.read_bytes()
        name = next((n for n in archive.names if n.rsplit("/", 1)[-1] == ATTACHMENT), None)
        return None if name is None else archive.read(name, MAX_CARRIER)


def _from_page(file: IO[bytes], path: Path) -> bytes | None:
    page = file.read()
    at = page.find(_DATA_URL)
    if at < 0:
        return None
    at += len(_DATA_URL)
    behind = _NO_BASE64.search(page, at)
    packed = page[at : behind.start() if behind else len(page)]
    del page  # one copy at a time
    try:
        return base64.b64decode(packed.translate(None, _BLANKS), validate=True)
    except ValueError as error:
        raise SeedStoryError(f"The story inside {path} is damaged ({error!s:.300}).") from error


def read_embedded(path: Path) -> Story | None:
    """The story that a PNG, PDF, EPUB, CBZ or HTML file carries; None where it carries none.

    Raises:
        SeedStoryError: as `read_carried` and `open_story_file`.
    """
    data = read_carried(path)
    return None if data is None else open_story_bytes(data, f"the story inside {path}")


@contextlib.contextmanager
def open_carried(path: Path) -> Iterator[Archive]:
    """The archive that ``path`` is or carries; a story file is not read into memory for it.

    Raises:
        SeedStoryError: as `read_carried` and `Archive`, or ``path`` carries no story.
    """
    if path.suffix.lower() == SUFFIX:
        with open_archive(path) as archive:
            yield archive
        return
    data = read_carried(path)
    if data is None:
        raise SeedStoryError(
            f"{path} carries no story. Expected a story folder, a .seedstory file, or a PNG, PDF, "
            "EPUB, CBZ or HTML file that was saved with the story inside."
        )
    with Archive(io.BytesIO(data), f"the story inside {path}", len(data)) as archive:
        yield archive


def open_any(path: Path) -> Story:
    """The story in a folder, a story file, or a file that carries one.

    Raises:
        SeedStoryError: as `load_story` and `open_carried`.
    """
    if os.path.isdir(path):
        return load_story(path)
    with open_carried(path) as archive:
        return story_in(archive)
