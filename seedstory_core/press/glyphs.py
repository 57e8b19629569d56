"""Fonts for files that carry their own: each cut down to the characters that a book uses."""

from __future__ import annotations

import io
from collections.abc import Mapping

from ..book.fonts import Face
from ..errors import SeedStoryError
from .extras import need


def subsets(faces: Mapping[str, Face]) -> dict[Face, bytes]:
    """A small OpenType file for each font of ``faces`` (character -> font).

    Raises:
        SeedStoryError: fontTools is not installed, or the font's maker forbids embedding.
    """
    wanted: dict[Face, set[str]] = {}
    for char, face in faces.items():
        wanted.setdefault(face, {" "}).add(char)
    return {face: _subset(face, "".join(sorted(chars))) for face, chars in wanted.items()}


def _subset(face: Face, text: str) -> bytes:
    subset, ttlib = need("fontTools.subset"), need("fontTools.ttLib")
    try:
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
    except (ttlib.TTLibError, KeyError) as error:
        raise SeedStoryError(f"The font {face.path} cannot be embedded ({error!r}).") from error
    return out.getvalue()
