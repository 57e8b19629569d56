"""How large captions are, and how a long text goes on over pages of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..book.letters import ELLIPSIS
from ..book.text import most_that
from ..types import Story
from .balloons import Balloon
from .settings import BookSettings
from .sheets import LEADING, Rect, Sheet, Typesetter, height_of
from .templates import cells

SMALLEST_TEXT, LARGEST_TEXT = 7.5, 14.0  # points, where the template leaves the size to us
MEASURE = 34  # letters of a comfortable line, in widths of their own size
SHORT = 600  # characters that may stand alone in the middle of a page, in large letters
SHRINKS = (1.0, 0.92, 0.85, 0.78)  # tried in turn before text goes on on another page


@dataclass(frozen=True, eq=False)
class Plan:
    """What the pages are made of.

    Attributes:
        captions: all of each caption; ``spoken``: what stays under its picture, and its balloons.
    """

    story: Story
    settings: BookSettings
    captions: Sequence[str]
    spoken: Sequence[tuple[str, list[Balloon]]]
    setter: Typesetter
    live: Rect = field(init=False)

    def __post_init__(self) -> None:
        width, height = self.settings.paper.trim
        border = self.settings.paper.border
        box = Rect(border, border, width - 2 * border, height - 2 * border)
        object.__setattr__(self, "live", box)


def caption_size(plan: Plan) -> float:
    """Points: as the template says, or so that the narrowest panel holds some words a line."""
    template = plan.settings.template
    if template.text:
        return template.text
    narrowest = min(
        plan.live.w * (right - left) / len(areas[0])
        for areas in template.pages
        for left, _, right, _ in cells(areas)
    )
    return max(SMALLEST_TEXT, min(narrowest * 0.055, LARGEST_TEXT))


def fitted(
    setter: Typesetter, text: str, width: float, height: float, size: float
) -> tuple[list[str], str]:
    """Lines of that size that fit into the box, and the text that does not.

    A text that is cut ends in an ellipsis, and what is left begins with one. A line keeps a
    letter at least, so that nothing is lost where two have no room.
    """
    room = max(1, int(height / (size * LEADING) + 1e-6))
    lines = setter.lines(text, width, size, most=room + 1)
    kept = lines[:room]
    seen = sum(not char.isspace() for line in kept for char in line)
    rest = _after(text, seen)
    if len(lines) <= room and not rest.strip():
        return lines, ""
    last = kept[-1]

    def fits(count: int) -> bool:
        return count <= len(last) and setter.width(last[:count] + ELLIPSIS, size) <= width

    fitting = max(most_that(fits), min(1, len(last)))
    kept[-1], rest = last[:fitting], last[fitting:] + rest
    kept[-1] = kept[-1].rstrip() + ELLIPSIS
    return kept, ELLIPSIS + rest.lstrip()


def _after(text: str, seen: int) -> str:
    """``text`` after its first ``seen`` visible characters, the space before it included."""
    for place, char in enumerate(text):
        if seen == 0:
            return text[place:]
        seen -= not char.isspace()
    return ""


def spread_text(plan: Plan, text: str, centred: bool = False) -> list[Sheet]:
    """Pages that hold nothing but ``text``; none where it is empty.

    Args:
        centred: stand in the middle of the page, as on a picture book's text pages.
    """
    size = max(caption_size(plan), 9.0)
    short = centred and len(text) < SHORT
    if short:
        size = max(size, min(22.0, plan.live.w / 18))
    width = min(plan.live.w, size * MEASURE * 0.62)
    box = Rect(plan.live.x + (plan.live.w - width) / 2, plan.live.y, width, plan.live.h)
    for shrink in SHRINKS:
        room = int(box.h / (size * shrink * LEADING))
        if len(plan.setter.lines(text, width, size * shrink, most=room + 1)) <= room:
            size *= shrink
            break
    alone = short and len(plan.setter.lines(text, width, size, most=5)) <= 4
    sheets = []
    while text:
        whole = text
        lines, text = fitted(plan.setter, text, width, box.h, size)
        lines = plan.setter.balanced(whole, width, size) if alone else lines
        used = height_of(len(lines), size)
        top = box.y + (box.h - used) / 2 * 0.9 if centred else box.y
        steps = plan.setter.block(lines, Rect(box.x, top, width, used), size, centred=alone)
        sheets.append(Sheet(tuple(steps)))
    return sheets
