"""Panels as people write them: ``2, 4-6, -1``."""

from __future__ import annotations

import re

from ..errors import SeedStoryError
from ..story import check_index
from ..types import Story

MAX_TEXT = 20_000  # letters; numbers of a thousand panels take about 5,000
ALL = "all"
MOST_NAMED = 5
_PART = re.compile(r"(-?\d{1,9})(?:\s*-\s*(-?\d{1,9}))?")


def panel_selection(story: Story, text: str) -> tuple[int, ...]:
    """Indices of the panels that ``text`` names, in its order and each once.

    Args:
        text: numbers and ranges with commas or blanks between them, negative ones counted from the
            end; ``all`` stands for every panel but the opening.

    Raises:
        SeedStoryError: no panel is named, one that is not there, or something that is no number.
    """
    if text.strip().lower() == ALL:
        found = [i for i, panel in enumerate(story.panels) if panel.origin != "opening"]
    else:
        found = _numbers(story, text)
    if not found:
        raise SeedStoryError(
            f"No panel is named. Write numbers from 0 to {len(story) - 1}, as in '2, 4-6', or "
            f"{ALL!r}."
        )
    return tuple(dict.fromkeys(found))


def panel_order(story: Story, text: str) -> tuple[int, ...]:
    """As `panel_selection`, but ``0 3 1-2`` names every place, and a panel named twice stays so,
    for `lines.reorder` to say."""
    return tuple(_numbers(story, text))


def panels_there(story: Story, text: str) -> tuple[tuple[int, ...], str]:
    """As `panel_selection`, but what the story does not have is left out.

    Returns:
        The indices, which may be none, and a sentence on what is left out, or "".
    """
    if text.strip().lower() == ALL:
        return panel_selection(story, text), ""
    found: list[int] = []
    missing: list[str] = []
    for first, last in _ranges(text):
        ends = [n + len(story) if n < 0 else n for n in (first, last)]
        low, high = max(min(ends), 0), min(max(ends), len(story) - 1)
        inside = range(low, high + 1)
        found.extend(inside if ends[0] <= ends[1] else reversed(inside))
        _check_many(found)
        if len(inside) <= abs(ends[1] - ends[0]):
            missing.append(f"{first}" if first == last else f"{first}-{last}")
    if not missing:
        return tuple(dict.fromkeys(found)), ""
    named = ", ".join(missing[:MOST_NAMED]) + (", ..." if len(missing) > MOST_NAMED else "")
    left = f"The story has panels 0 to {len(story) - 1}; of {named}, what is not there is left out."
    return tuple(dict.fromkeys(found)), left


def check_panels(text: str) -> None:
    """What can be said of ``text`` without the story.

    Raises:
        SeedStoryError: something in it is no number and no range.
    """
    if text.strip().lower() != ALL:
        _ranges(text)


def _numbers(story: Story, text: str) -> list[int]:
    found: list[int] = []
    for one, other in _ranges(text):
        first, last = check_index(story, one), check_index(story, other)
        step = 1 if first <= last else -1
        found.extend(range(first, last + step, step))
        _check_many(found)
    return found


def _check_many(found: list[int]) -> None:
    if len(found) > MAX_TEXT:
        raise SeedStoryError(f"More than {MAX_TEXT} panels are named. Name each once.")


def _ranges(text: str) -> list[tuple[int, int]]:
    """First and last number of each part, as written."""
    if len(text) > MAX_TEXT:
        raise SeedStoryError(f"Panels are named in at most {MAX_TEXT} letters, got {len(text)}.")
    found: list[tuple[int, int]] = []
    joined = re.sub(r"(\d)\s*-\s*(\d)", r"\1-\2", text)
    for part in re.split(r"[\s,;]+", joined.strip()):
        if not part:
            continue
        match = _PART.fullmatch(part)
        if match is None:
            raise SeedStoryError(
                f"{part[:40]!r} names no panel. Write numbers, 0 for the opening and -1 for the "
                "newest, and ranges, as in '2, 4-6'."
            )
        found.append((int(match[1]), int(match[1] if match[2] is None else match[2])))
    return found
