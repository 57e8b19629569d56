"""Text in lines: where lines may break, how wide they are, and drawing them with several fonts."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from PIL import ImageDraw, features

from .fonts import Face
from .letters import ELLIPSIS, tidy

#: Marks that must not begin a line, and marks that must not end one (kinsoku). Escaped, since some
#: tools on Windows read source in a code page of their own.
NO_START = frozenset(
    "\u3001\u3002\uff0c\uff0e\u30fb\uff1a\uff1b\uff1f\uff01"  # punctuation
    "\u309b\u309c\u30fd\u30fe\u309d\u309e\u3005\u30fc"  # sound and iteration marks
    # closing quotes and brackets
    "\u2019\u201d\uff09\u3015\uff3d\uff5d\u3009\u300b\u300d\u300f\u3011\u3019\u3017"
    "\u00b0\u2032\u2033\u2103\uff05\u2030"  # units
    "\u3041\u3043\u3045\u3047\u3049\u3063\u3083\u3085\u3087\u308e"  # small hiragana
    "\u30a1\u30a3\u30a5\u30a7\u30a9\u30c3\u30e3\u30e5\u30e7\u30ee\u30f5\u30f6"  # small katakana
    ",.:;?!)]}\u2026\u2025\u2014"  # ASCII, ellipses, dash
)
NO_END = frozenset(
    "\u2018\u201c\uff08\u3014\uff3b\uff5b\u3008\u300a\u300c\u300e\u3010\u3018\u3016([{"
)


@dataclass(frozen=True)
class Setter:
    """Measures and draws one line of text.

    Attributes:
        faces: the face for each character (`Fonts.choose`).
        size: of the letters, in pixels.
    """

    faces: Mapping[str, Face]
    size: float

    @property
    def height(self) -> int:
        """From one line to the next."""
        return round(self.size * 1.45)

    def visible(self, text: str) -> str:
        """``text`` without the characters that have no face."""
        return tidy("".join(char for char in text if char.isspace() or char in self.faces))

    def runs(self, line: str) -> list[tuple[Face, str]]:
        """Visible ``line`` cut where the font changes; spaces and marks go with what precedes."""
        known: list[tuple[Face, str]] = []
        for char in line:
            joins = char.isspace() or unicodedata.combining(char)
            face = known[-1][0] if joins and known else self.faces.get(char)
            known.append((face or next(iter(self.faces.values())), char))
        grouped = groupby(known, key=lambda item: item[0])
        runs = [(face, "".join(char for _, char in items)) for face, items in grouped]
        return runs[::-1] if right_to_left(line) else runs

    def width(self, line: str) -> float:
        """Length of ``line`` in pixels."""
        return sum(face.at(self.size).getlength(run) for face, run in self.runs(line))

    def draw(self, draw: ImageDraw.ImageDraw, x: float, y: float, line: str, colour: str) -> None:
        """Draw ``line``; (x, y) is the left end of its base line."""
        direction = "rtl" if right_to_left(line) and features.check("raqm") else None
        for face, run in self.runs(line):
            font = face.at(self.size)
            draw.text((x, y), run, fill=colour, font=font, anchor="ls", direction=direction)
            x += font.getlength(run)

    def wrap(self, text: str, width: float, most: int) -> list[str]:
        """``text`` in at most ``most`` lines within ``width``; a cut text ends in an ellipsis."""
        lines: list[str] = []
        for paragraph in text.split("\n"):
            for line in _fill(list(units(paragraph)), width, self.width):
                if len(lines) == most:
                    return [*lines[:-1], self._cut(lines[-1], width)]
                lines.append(line)
        return lines

    def _cut(self, line: str, width: float) -> str:
        while line and self.width(line + ELLIPSIS) > width:
            line = line[:-1]
        return line.rstrip() + ELLIPSIS


def right_to_left(text: str) -> bool:
    """Whether the first letter with a direction runs from right to left."""
    strong = (unicodedata.bidirectional(char) for char in text)
    return next((way in ("R", "AL") for way in strong if way in ("L", "R", "AL")), False)


def units(text: str) -> Iterator[str]:
    """``text`` cut where lines may break; each piece keeps its trailing spaces.

    In:  ``ab cd.`` and two ideographs in brackets
    Out: ``ab ``, ``cd.``, bracket and ideograph, ideograph and bracket
    """
    piece = ""
    for char in text:
        if piece and _may_break(piece, char):
            yield piece
            piece = ""
        piece += char
    if piece:
        yield piece


def _may_break(piece: str, char: str) -> bool:
    last = piece[-1]
    if char.isspace() or unicodedata.combining(char) or char in NO_START:
        return False
    if last.isspace() or last in "-\u2010\u2013/":
        return bool(piece.strip())
    if last in NO_END:
        return False
    return _wide(last) or _wide(char)


def _wide(char: str) -> bool:
    """Letters set without spaces: Han, kana and full-width marks. Korean is spaced by words."""
    wide = unicodedata.east_asian_width(char) in "WF"
    return wide and not unicodedata.name(char, "").startswith("HANGUL")


def _fill(pieces: list[str], width: float, measure: Callable[[str], float]) -> Iterator[str]:
    """Lines filled with as many pieces as fit; pieces wider than a line are broken by letters."""
    line = ""
    for piece in pieces:
        if line and measure((line + piece).rstrip()) > width:
            yield line.rstrip()
            line = ""
        if measure(piece.rstrip()) > width:
            *whole, piece = _chop(piece, width, measure)
            yield from whole
        line += piece
    yield line.rstrip()


def _chop(piece: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """A piece that is too wide in parts that fit, each at least one letter with its marks."""
    parts, part = [], ""
    for char in piece:
        if part and not unicodedata.combining(char) and measure(part + char) > width:
            parts.append(part)
            part = ""
        part += char
    return [*parts, part]
