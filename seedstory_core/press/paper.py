"""Paper: trim size, bleed, margin and resolution, in the units printers use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import SeedStoryError
from ..images import check_pixels

POINTS = 72 / 25.4  # points in a millimetre
SMALLEST, LARGEST = 40.0, 1500.0  # mm
MAX_BLEED = 25.0  # mm
DPI = (30, 1200)

#: Trim sizes in millimetres (width, height), by the names printers and shops use.
TRIMS: Mapping[str, tuple[float, float]] = {
    "A4": (210, 297),
    "A5": (148, 210),
    "A4 landscape": (297, 210),
    "Letter": (215.9, 279.4),
    "comic": (168.275, 260.35),  # US comic book, 6.625 x 10.25 in
    "manga": (128, 182),  # JIS B6, tankobon
    "square": (210, 210),
    "strip": (297, 105),  # a third of A4
}
_OWN = re.compile(r"(\d+(?:\.\d+)?) ?[x\u00d7] ?(\d+(?:\.\d+)?) ?(mm|in)?", re.I)


@dataclass(frozen=True)
class Paper:
    """One size of page.

    Attributes:
        width, height: of the page after trimming, in millimetres.
        bleed: what pictures that touch the edge continue beyond it, in millimetres.
        margin: from the edge to what must not be cut, in millimetres; 0 chooses 6 % of the
            shorter side, at least 6 mm.
        dpi: pixels per inch of page pictures.
    """

    width: float
    height: float
    bleed: float = 0.0
    margin: float = 0.0
    dpi: int = 150

    def __post_init__(self) -> None:
        for name, size in (("wide", self.width), ("high", self.height)):
            if not SMALLEST <= size <= LARGEST:
                raise SeedStoryError(
                    f"A page {size:g} mm {name} cannot be pressed: give {SMALLEST:g} to "
                    f"{LARGEST:g} mm."
                )
        if not 0 <= self.bleed <= MAX_BLEED:
            raise SeedStoryError(f"The bleed is 0 to {MAX_BLEED:g} mm, got {self.bleed:g}.")
        if not 0 <= self.margin < min(self.width, self.height) / 2.5:
            raise SeedStoryError(
                f"A margin of {self.margin:g} mm leaves no room on a page of {self.width:g} x "
                f"{self.height:g} mm."
            )
        if not DPI[0] <= self.dpi <= DPI[1]:
            raise SeedStoryError(f"The resolution is {DPI[0]} to {DPI[1]} dpi, got {self.dpi}.")
        check_pixels(*self.pixels, what="page")

    @property
    def trim(self) -> tuple[float, float]:
        """Width and height after trimming, in points."""
        return self.width * POINTS, self.height * POINTS

    @property
    def over(self) -> float:
        """The bleed in points."""
        return self.bleed * POINTS

    @property
    def border(self) -> float:
        """The margin in points."""
        return (self.margin or max(6.0, 0.06 * min(self.width, self.height))) * POINTS

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height of a page picture, bleed included."""
        inch = self.dpi / 25.4
        width, height = self.width + 2 * self.bleed, self.height + 2 * self.bleed
        return round(width * inch), round(height * inch)


def trim_size(name: str) -> tuple[float, float]:
    """Millimetres of a trim size: a name of `TRIMS`, or like ``148 x 210 mm`` or ``6 x 9 in``.

    Raises:
        SeedStoryError: neither.
    """
    if name in TRIMS:
        return TRIMS[name]
    match = _OWN.fullmatch(name.strip())
    if match is None:
        raise SeedStoryError(
            f"There is no trim size {name[:80]!r}. Choose one of {', '.join(TRIMS)}, or give "
            "millimetres or inches like '148 x 210 mm' or '6 x 9 in'."
        )
    unit = 25.4 if (match[3] or "mm").lower() == "in" else 1.0
    return float(match[1]) * unit, float(match[2]) * unit
