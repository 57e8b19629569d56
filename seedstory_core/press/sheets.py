"""A book as drawing steps: what lies where on each page, before any file format.

All lengths are points (1/72 inch) from the upper left corner of the trimmed page, y downwards; in
the bleed they are negative, or beyond the trim size. Steps are drawn in order, so later ones cover
earlier ones, and text comes in the order it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..book.fonts import Face
from ..book.text import Setter, right_to_left
from ..types import Story
from .paper import Paper
from .settings import BookSettings

PAPER, INK, SOFT, EMPTY = "#ffffff", "#1f1b18", "#6f675f", "#ece7de"
LEADING = 1.38  # from one line to the next, in sizes of the letters
NARROWEST = 1 / 6  # of a letter's size that the narrowest ones are wide, marks aside
LETTERS = 60  # of a line are looked at in any case
RULER = 200  # pixels at which text is measured: large, since hinting moves letters by parts of one

Point = tuple[float, float]


@dataclass(frozen=True)
class Rect:
    """A box: upper left corner, width, height."""

    x: float
    y: float
    w: float
    h: float

    @property
    def right(self) -> float:
        return self.x + self.w

    @property
    def bottom(self) -> float:
        return self.y + self.h

    @property
    def corners(self) -> tuple[Point, ...]:
        return (
            (self.x, self.y),
            (self.right, self.y),
            (self.right, self.bottom),
            (self.x, self.bottom),
        )

    def inset(self, by: float) -> Rect:
        return Rect(self.x + by, self.y + by, self.w - 2 * by, self.h - 2 * by)

    def fit(self, width: float, height: float) -> Rect:
        """The largest box of that aspect within this one, in its middle."""
        scale = min(self.w / width, self.h / height)
        w, h = width * scale, height * scale
        return Rect(self.x + (self.w - w) / 2, self.y + (self.h - h) / 2, w, h)

    def around(self, width: float, height: float, at: tuple[float, float] = (0.5, 0.5)) -> Rect:
        """The smallest box of that aspect around this one; of what stands out, the share ``at``
        does so to the left and above."""
        scale = max(self.w / width, self.h / height)
        w, h = width * scale, height * scale
        return Rect(self.x + (self.w - w) * at[0], self.y + (self.h - h) * at[1], w, h)


@dataclass(frozen=True)
class Picture:
    """The picture of ``panel`` filling ``whole``, of which ``frame`` is seen."""

    panel: int
    whole: Rect
    frame: Rect


@dataclass(frozen=True)
class Shape:
    """A closed polygon; ``fill`` and ``stroke`` are ``#rrggbb``, empty for none."""

    points: tuple[Point, ...]
    fill: str = ""
    stroke: str = ""
    width: float = 1.0


@dataclass(frozen=True)
class Words:
    """One line of text: ``x`` is its left end, ``y`` its base line, ``w`` its length.

    ``angle`` turns it counter-clockwise in degrees around (x, y); ``halo`` is a colour around the
    letters, empty for none.
    """

    text: str
    x: float
    y: float
    w: float
    size: float
    colour: str = INK
    angle: float = 0.0
    halo: str = ""


Step = Picture | Shape | Words


@dataclass(frozen=True)
class Sheet:
    """One page.

    Attributes:
        steps: what is drawn.
        panels: which panels begin on it.
        number: from 1; not printed on the title page and on pages that a picture fills.
    """

    steps: tuple[Step, ...]
    panels: tuple[int, ...] = ()
    number: int = 0


@dataclass(frozen=True, eq=False)
class Book:
    """A story laid out.

    Attributes:
        captions: the panels' captions as printed, also the alternative text of their pictures.
        faces: a font for each character of the book.
        language: BCP 47 tag of the captions.
    """

    story: Story
    settings: BookSettings
    title: str
    sheets: tuple[Sheet, ...]
    captions: tuple[str, ...]
    faces: dict[str, Face]
    language: str

    @property
    def paper(self) -> Paper:
        return self.settings.paper


class Typesetter:
    """Measures lines and breaks text into them, at any size in points."""

    def __init__(self, faces: dict[str, Face]) -> None:
        self.faces = faces

    @cached_property
    def ruler(self) -> Setter:
        return Setter(self.faces, RULER)

    def width(self, line: str, size: float) -> float:
        return self.ruler.width(line) * size / RULER

    def lines(self, text: str, width: float, size: float, most: int = 0) -> list[str]:
        """``text`` in lines no longer than ``width``; none for an empty text.

        Args:
            most: break no more lines than this, the last of them cut, and look at no more of the
                text than they can hold; 0: all of the text.
        """
        if not text:
            return []
        if most:
            text = text[: most * max(LETTERS, int(width / size / NARROWEST))]
        return self.ruler.wrap(text, max(width, size) * RULER / size, most or len(text) + 1)

    def balanced(self, text: str, width: float, size: float) -> list[str]:
        """As `lines`, as many, but of nearly the same length: for short texts in the middle."""
        best = self.lines(text, width, size)
        low, high = width / max(1, len(best)) / 2, width
        for _ in range(8 if len(best) > 1 else 0):
            middle = (low + high) / 2
            tried = self.lines(text, middle, size, most=len(best) + 1)
            if len(tried) == len(best):
                best, high = tried, middle
            else:
                low = middle
        return best

    def block(
        self,
        lines: Sequence[str],
        box: Rect,
        size: float,
        colour: str = INK,
        centred: bool = False,
    ) -> list[Words]:
        """Lines from the top of ``box``; each stands where its direction wants, or in the middle.

        Lines of one paragraph share its direction, since the first letter of each decides.
        """
        steps = []
        for number, line in enumerate(lines):
            if not line:
                continue
            wide = self.width(line, size)
            spare = box.w - wide
            x = box.x + (spare / 2 if centred else spare if right_to_left(line) else 0.0)
            y = box.y + size * (0.94 + (LEADING - 1) / 2) + number * size * LEADING
            steps.append(Words(line, x, y, wide, size, colour))
        return steps


def height_of(lines: int, size: float) -> float:
    """Of a block of lines, in points."""
    return lines * size * LEADING
