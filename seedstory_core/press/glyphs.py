"""Fonts for files that carry their own: each cut down to the characters that a book uses."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping

from ..book.fonts import SHIPPED, Face
from ..errors import SeedStoryError
from .extras import need

#: What fontTools raises where the tables of a font contradict each other: anything.
_DAMAGED = (ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError,
            OSError, RuntimeError, TypeError, ValueError, struct.error, zlib.error)  # fmt: skip


def subsets(faces: Mapping[str, Face]) -> dict[Face, bytes]:
    """A small OpenType file for each font of ``faces`` (character -> font).

    Raises:
        SeedStoryError: fontTools is not installed, the font's maker forbids embedding, or it is
            damaged.
    """
    wanted: dict[Face, set[str]] = {}
    for char, face in faces.items():
        wanted.setdefault(face, {" "}).add(char)
    return {face: _subset(face, "".join(sorted(chars))) for face, chars in wanted.items()}


@contextlib.contextmanager
def embedding(faces: Iterable[Face]) -> Iterator[None]:
    """Turns what a library says of damaged fonts into a sentence that names them.

    Raises:
        SeedStoryError: one of ``faces`` is damaged. Errors where all are shipped ones pass: they
            are not the fonts'.
    """
    foreign = sorted({str(face.path) for face in faces if face.path != SHIPPED})
    try:
        yield
    except SeedStoryError:
        raise
    except (*_own_errors(), *_DAMAGED) as error:
        if not foreign:
            raise
        raise SeedStoryError(
            f"The font {', '.join(foreign)} is damaged and cannot be embedded ({error!r:.200}). "
            "Remove it, or choose another."
        ) from error


def _own_errors() -> tuple[type[Exception], ...]:
    """Errors of fontTools that are of no common kind."""
    return (
        need("fontTools.ttLib").TTLibError,
        need("fontTools.subset").Subsetter.SubsettingError,
        need("fontTools.misc.psCharStrings").CharStringCompileError,
        need("fontTools.misc.sstruct").Error,
        need("fontTools.ttLib.tables.otBase").OTLOffsetOverflowError,
    )


def _subset(face: Face, text: str) -> bytes:
    subset, ttlib = need("fontTools.subset"), need("fontTools.ttLib")
    with embedding([face]):
        # without the time of day, so that the same book is the same file
        font = ttlib.TTFont(face.path, fontNumber=face.index, lazy=True, recalcTimestamp=False)
        if font["OS/2"].fsType & 0x0002:
            raise SeedStoryError(
                f"The font {face.path.name} forbids to be embedded in documents. Choose another."
            )
        options = subset.Options(layout_features=["*"], notdef_outline=True, hinting=False)
        cutter = subset.Subsetter(options)
        cutter.populate(text=text)
        cutter.subset(font)
        out = io.BytesIO()
        font.save(out)
    return out.getvalue()
