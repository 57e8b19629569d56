"""Page templates as data: a grid of named areas, read a, b, c ..., as in CSS grid-template-areas.

``{"pages": [["aab", "ccb"]], "caption": "below"}`` is a page of three panels: a above c, and b at
their right over both rows. Templates with several pages take turns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..errors import SeedStoryError
from ..strict_json import parse_json

CAPTIONS = ("below", "inside", "facing", "none")
MAX_SIDE, MAX_PAGES, MAX_TEXT = 12, 64, 20_000
BLANK = "."

Areas = tuple[str, ...]


@dataclass(frozen=True)
class Template:
    """How panels lie on pages.

    Attributes:
        pages: each a tuple of rows of letters; equal letters are one panel, read in alphabetical
            order; ``.`` stays empty. Used in turn.
        trim: the paper it is made for (`paper.trim_size`).
        caption: ``below`` the picture, ``inside`` it in a box, on the ``facing`` page, ``none``.
        cover: pictures fill their frame and lose what stands out; else they are shown whole.
        reading: ``ltr`` or ``rtl``: the direction in which pages are turned and balloons follow.
        gutter: between panels, in points.
        frame: width of the line around pictures in points; 0 for none.
        bleed: panels reach the page's edge, and beyond it where the paper has a bleed.
        text: size of captions in points; 0 chooses.
        columns, rows: relative widths and heights; empty: equal ones.
    """

    pages: tuple[Areas, ...] = (("a",),)
    trim: str = "A5"
    caption: str = "below"
    cover: bool = False
    reading: str = "ltr"
    gutter: float = 10.0
    frame: float = 0.0
    bleed: bool = False
    text: float = 0.0
    columns: tuple[float, ...] = ()
    rows: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.pages) <= MAX_PAGES:
            raise SeedStoryError(f"A template has 1 to {MAX_PAGES} pages, got {len(self.pages)}.")
        for areas in self.pages:
            cells(areas)
        for name, value, known in (
            ("caption", self.caption, CAPTIONS),
            ("reading", self.reading, ("ltr", "rtl")),
        ):
            if value not in known:
                raise SeedStoryError(
                    f"A template's {name!r} is one of {', '.join(known)}, got {str(value)[:40]!r}."
                )
        if self.caption == "facing" and any(len(cells(areas)) > 1 for areas in self.pages):
            raise SeedStoryError("Text on the facing page goes with one panel a page.")
        for name, value, most in (("gutter", self.gutter, 100), ("frame", self.frame, 20)):
            if not 0 <= value <= most:
                raise SeedStoryError(f"A template's {name!r} is 0 to {most} points, got {value}.")
        if self.text and not 5 <= self.text <= 72:
            raise SeedStoryError(f"A template's 'text' is 5 to 72 points, or 0, got {self.text}.")
        for name, weights in (("columns", self.columns), ("rows", self.rows)):
            if not all(0.05 <= weight <= 100 for weight in weights):
                raise SeedStoryError(f"A template's {name!r} are relative sizes from 0.05 to 100.")


def cells(areas: Areas) -> list[tuple[int, int, int, int]]:
    """(left, top, right, bottom) of each panel in cells of the grid, in reading order.

    In:  ``("aab", "ccb")``
    Out: ``[(0, 0, 2, 1), (2, 0, 3, 2), (0, 1, 2, 2)]``

    Raises:
        SeedStoryError: rows of different lengths, an area that is no rectangle, no area.
    """
    if not 1 <= len(areas) <= MAX_SIDE or not 1 <= len(areas[0]) <= MAX_SIDE:
        raise SeedStoryError(f"A page's grid has 1 to {MAX_SIDE} rows and columns.")
    if len({len(row) for row in areas}) != 1:
        raise SeedStoryError(f"The rows of a page's grid differ in length: {list(areas)}.")
    letters = sorted(set("".join(areas)) - {BLANK})
    if not letters or not all("a" <= letter <= "z" for letter in letters):
        raise SeedStoryError(
            f"A page's grid is written with the letters a to z and '.', got {list(areas)}."
        )
    found = []
    for letter in letters:
        spots = [(x, y) for y, row in enumerate(areas) for x, c in enumerate(row) if c == letter]
        left, right = min(x for x, _ in spots), max(x for x, _ in spots) + 1
        top, bottom = min(y for _, y in spots), max(y for _, y in spots) + 1
        if len(spots) != (right - left) * (bottom - top):
            raise SeedStoryError(f"Area {letter!r} is no rectangle in {list(areas)}.")
        found.append((left, top, right, bottom))
    return found


TEMPLATES: Mapping[str, Template] = {
    "single": Template(trim="148 x 180 mm", text=15),
    "strip": Template((("abc",),), trim="strip", cover=True, frame=1),
    "grid 2x2": Template((("ab", "cd"),), trim="148 x 180 mm"),
    "comic": Template(
        (("ab", "cc", "de"), ("ab", "cd", "ee")),
        trim="comic",
        caption="inside",
        cover=True,
        frame=1.25,
        gutter=8,
    ),
    "manga": Template(
        (("ba", "cc", "ed"), ("ba", "dc", "ee")),
        trim="manga",
        caption="inside",
        cover=True,
        reading="rtl",
        frame=1.25,
        gutter=7,
    ),
    "picture book": Template(trim="square", caption="facing", cover=True, bleed=True, text=22),
}


def find_template(name: str) -> Template:
    """A template by name, or from its JSON text.

    Raises:
        SeedStoryError: no such template, or data that is none.
    """
    if name in TEMPLATES:
        return TEMPLATES[name]
    if name.lstrip().startswith("{"):
        return read_template(name)
    raise SeedStoryError(
        f"There is no template {name[:80]!r}. Choose one of {', '.join(TEMPLATES)}, or give one as "
        'JSON, like {"pages": [["aab", "ccb"]], "caption": "below"}.'
    )


def read_template(text: str) -> Template:
    """JSON -> `Template`; every mistake is named.

    Raises:
        SeedStoryError: no JSON object, unknown keys, or values of another kind.
    """
    if len(text) > MAX_TEXT:
        raise SeedStoryError(f"A template has at most {MAX_TEXT} characters, got {len(text)}.")
    given = parse_json(text, "The template", "Check commas and quotes.")
    kinds = {field.name: type(field.default) for field in fields(Template)}
    if not isinstance(given, dict) or given.keys() - kinds:
        extra = ", ".join(sorted(given.keys() - kinds)) if isinstance(given, dict) else "no object"
        raise SeedStoryError(
            f"A template is a JSON object with {', '.join(kinds)}; got {extra[:80]}."
        )
    return Template(**{key: _value(key, value, kinds[key]) for key, value in given.items()})


def _value(key: str, value: Any, kind: type) -> Any:
    if kind is tuple and isinstance(value, list):
        if key == "pages":
            if all(
                isinstance(page, list) and page and all(isinstance(row, str) for row in page)
                for page in value
            ):
                return tuple(tuple(page) for page in value)
        elif all(_number(item) for item in value):
            return tuple(float(item) for item in value)
    elif kind is float and _number(value):
        return float(value)
    elif kind in (bool, str) and isinstance(value, kind):
        return value
    raise SeedStoryError(f"A template's {key!r} cannot be {json.dumps(value)[:80]}.")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
