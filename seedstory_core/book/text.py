"""Text in lines: where lines may break, how wide they are, and drawing them with several fonts."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, islice

from PIL import ImageDraw, features

from .fonts import Face, unusable
from .letters import ELLIPSIS, tidy

SHORT = 8  # letters of a run whose length is remembered

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
        faces = {self.faces.get(char) for char in set(line) if not _joins(char)}
        if len(faces) == 1 and not _joins(line[0]) and (alone := next(iter(faces))) is not None:
            return [(alone, line)]  # as most lines are
        known: list[tuple[Face, str]] = []
        for char in line:
            face = known[-1][0] if known and _joins(char) else self.faces.get(char)
            known.append((face or next(iter(self.faces.values())), char))
        grouped = groupby(known, key=lambda item: item[0])
        runs = [(face, "".join(char for _, char in items)) for face, items in grouped]
        return runs[::-1] if right_to_left(line) else runs

    def width(self, line: str) -> float:
        """Length of ``line`` in pixels."""
        runs = self.runs(line)
        try:
            return sum(_length(face, self.size, run) for face, run in runs)
        except OSError as error:  # a letter's outline is damaged
            raise unusable((face.path for face, _ in runs), error) from error

    def draw(self, draw: ImageDraw.ImageDraw, x: float, y: float, line: str, colour: str) -> None:
        """Draw ``line``; (x, y) is the left end of its base line."""
        direction = "rtl" if right_to_left(line) and features.check("raqm") else None
        for face, run in self.runs(line):
            font = face.at(self.size)
            try:
                draw.text((x, y), run, fill=colour, font=font, anchor="ls", direction=direction)
                x += font.getlength(run)
            except OSError as error:
                raise unusable([face.path], error) from error

    def wrap(self, text: str, width: float, most: int) -> list[str]:
        """``text`` in at most ``most`` lines within ``width``; a cut text ends in an ellipsis."""
        lines: list[str] = []
        for paragraph in _paragraphs(text):
            for line in _fill(units(paragraph), width, self.width):
                if len(lines) == most:
                    return [*lines[:-1], self._cut(lines[-1], width)]
                lines.append(line)
        return lines

    def _cut(self, line: str, width: float) -> str:
        fitting = most_that(lambda n: n <= len(line) and self.width(line[:n] + ELLIPSIS) <= width)
        return line[:fitting].rstrip() + ELLIPSIS


def most_that(fits: Callable[[int], bool]) -> int:
    """The largest number that fits, if all smaller ones do; 0 where not even 1 does.

    Asks for few numbers, and for none much larger than the answer: so measuring beginnings of a
    text costs little more than measuring the longest of them.
    """
    low, step = 0, 1
    while fits(low + step):
        low, step = low + step, 2 * step
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _joins(char: str) -> bool:
    """Whether ``char`` stands with the letter before it, in whatever font that is."""
    return char.isspace() or unicodedata.combining(char) > 0


def _length(face: Face, size: float, run: str) -> float:
    return _short(face, size, run) if len(run) <= SHORT else face.at(size).getlength(run)


@lru_cache(maxsize=4096)
def _short(face: Face, size: float, run: str) -> float:
    """Where fonts change at every other letter, the same few runs are measured for every line."""
    return face.at(size).getlength(run)


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


def _paragraphs(text: str) -> Iterator[str]:
    """``text`` cut at its line breaks, one piece after the other."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def _fill(pieces: Iterator[str], width: float, measure: Callable[[str], float]) -> Iterator[str]:
    """Lines filled with as many pieces as fit; pieces wider than a line are broken by letters."""
    ahead: list[str] = []  # pieces that were looked at and are on no line yet
    line = ""

    def fits(count: int) -> bool:
        ahead.extend(islice(pieces, max(0, count - len(ahead))))
        whole = line + "".join(ahead[:count])
        return count <= len(ahead) and measure(whole.rstrip()) <= width

    while True:
        count = most_that(fits)
        line += "".join(ahead[:count])
        del ahead[:count]
        if not ahead:
            break
        if count or line:
            yield line.rstrip()
            line = ""
        else:
            *whole, line = _chop(ahead.pop(0), width, measure)
            yield from whole
    yield line.rstrip()


def _chop(piece: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """A piece that is too wide in parts that fit, each at least one letter with its marks."""
    letters = list(_letters(piece))
    parts, at = [], 0
    while at < len(letters):

        def fits(count: int, at: int = at) -> bool:
            inside = at + count <= len(letters)
            return inside and (count == 1 or measure("".join(letters[at : at + count])) <= width)

        count = most_that(fits)
        parts.append("".join(letters[at : at + count]))
        at += count
    return parts


def _letters(text: str) -> Iterator[str]:
    """Each letter with the marks on it."""
    start = 0
    for place, char in enumerate(text):
        if place > start and not unicodedata.combining(char):
            yield text[start:place]
            start = place
    if text:
        yield text[start:]
