"""Files that carry a story inside: PNG, PDF, EPUB, CBZ, HTML. What they carry is the story file.

* PNG: a chunk ``stRy`` (ancillary, private, safe to copy) before the end of the file;
* PDF: an attachment named ``story.seedstory``;
* EPUB and CBZ, zips themselves: a member of that name, in any folder;
* HTML: a data URL of the media type `MEDIA_TYPE`, as the target of a link.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import SeedStoryError
from ..files import human
from ..story_reader import MANIFEST, load_story
from ..types import Json, Story
from .archive import ATTACHMENT, MEDIA_TYPE, SUFFIX, Archive, open_archive
from .unpack import open_story_bytes, story_in

#: Bytes of a story that a PNG carries at most: below the 100 MB that ComfyUI takes by default as
#: an upload (``--max-upload-size``), so that what was saved can be dropped in again.
MAX_CARRIED = 96 << 20
MAX_CARRIER = 2 << 30  # bytes of a file that is searched
CHUNK_TYPE = b"stRy"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: What pypdf raises, beside its own errors, where a PDF is not as it expects.
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OSError)
_ZIP, _PDF = b"PK\x03\x04", b"%PDF-"
_DATA_URL = re.compile(rb"data:" + re.escape(MEDIA_TYPE.encode()) + rb";base64,([A-Za-z0-9+/=\s]*)")


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
    kept = [(kind, data) for kind, data in _chunks(png, "the PNG") if kind != CHUNK_TYPE]
    texts = [
        (b"tEXt", key.encode("latin-1") + b"\0" + json.dumps(value).encode())
        for key, value in (text or {}).items()
    ]
    own = [] if story is None else [(CHUNK_TYPE, story)]
    # texts before the pixels, where every reader looks; the story last, where none stumbles on it
    parts = [kept[0], *texts, *kept[1:-1], *own, kept[-1]]
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunks(png: bytes, where: str) -> Iterator[tuple[bytes, bytes]]:
    """Type and data of every chunk, the last being IEND."""
    at = len(_SIGNATURE)
    if not png.startswith(_SIGNATURE):
        raise SeedStoryError(f"{where} is not a PNG file.")
    while True:
        if at + 12 > len(png):
            raise SeedStoryError(f"{where} is a PNG that is cut short. Get another copy of it.")
        length, kind = struct.unpack_from(">I4s", png, at)
        end = at + 12 + length
        if end > len(png):
            raise SeedStoryError(f"{where} is a PNG that is cut short. Get another copy of it.")
        data = png[at + 8 : end - 4]
        if struct.unpack_from(">I", png, end - 4)[0] != zlib.crc32(kind + data):
            raise SeedStoryError(f"{where} is a PNG that is damaged. Get another copy of it.")
        yield kind, data
        if kind == b"IEND":
            return
        at = end


def read_png_text(png: bytes, where: str = "the PNG") -> dict[str, str]:
    """The ``tEXt`` chunks of a PNG file, by keyword."""
    found = [data.partition(b"\0") for kind, data in _chunks(png, where) if kind == b"tEXt"]
    return {key.decode("latin-1"): value.decode("latin-1") for key, _, value in found}


def read_carried(path: Path) -> bytes | None:
    """The story file that ``path`` is or carries; None where it carries none.

    Raises:
        SeedStoryError: no such file, one too large to be searched, or a damaged carrier.
    """
    if not path.is_file():
        raise SeedStoryError(f"There is no file at {path}. Check the path.")
    if path.suffix.lower() == SUFFIX:
        return path.read_bytes()
    if path.stat().st_size > MAX_CARRIER:
        raise SeedStoryError(f"{path} is larger than {human(MAX_CARRIER)}; it is not searched.")
    with open(path, "rb") as file:
        head = file.read(1024)
    if head.startswith(_SIGNATURE):
        chunks = _chunks(path.read_bytes(), str(path))
        return next((data for kind, data in chunks if kind == CHUNK_TYPE), None)
    if head.startswith(_ZIP):
        return _from_zip(path)
    if _PDF in head:
        return _from_pdf(path)
    return _from_page(path)


def _from_zip(path: Path) -> bytes | None:
    with open_archive(path) as archive:
        if MANIFEST in archive.names:
            return path.read_bytes()
        name = next((n for n in archive.names if n.rsplit("/", 1)[-1] == ATTACHMENT), None)
        return None if name is None else archive.read(name, MAX_CARRIER)


def _from_pdf(path: Path) -> bytes | None:
    try:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except ImportError as error:
        raise SeedStoryError(
            f"Reading the story inside {path} needs pypdf: pip install pypdf. Its .seedstory, EPUB "
            "or PNG file can be opened without."
        ) from error
    try:
        with _pdf_limits(path.stat().st_size):
            found = PdfReader(path).attachments.get(ATTACHMENT) or []
    except (PyPdfError, *_UNREADABLE) as error:
        raise SeedStoryError(
            f"{path} is a PDF that cannot be read, or is damaged ({error}). Get another copy of it."
        ) from error
    return found[0] if found else None


def _pdf_limits(size: int) -> contextlib.AbstractContextManager[object]:
    """pypdf 7 refuses streams of more than 75 MB, which is a story of twenty panels."""
    try:
        from pypdf import apply_configuration
    except ImportError:
        return contextlib.nullcontext()
    return apply_configuration(maximum_declared_stream_length=size)


def _from_page(path: Path) -> bytes | None:
    found = _DATA_URL.search(path.read_bytes())
    if found is None:
        return None
    try:
        return base64.b64decode(re.sub(rb"\s", b"", found[1]), validate=True)
    except binascii.Error as error:
        raise SeedStoryError(f"The story inside {path} is damaged ({error}).") from error


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
    if path.is_dir():
        return load_story(path)
    with open_carried(path) as archive:
        return story_in(archive)
