"""Panels as people write them: ``2, 4-6, -1``."""

from __future__ import annotations

import re

from ..errors import SeedStoryError
from ..story import check_index
from ..types import Story

MAX_TEXT = 20_000  # letters; numbers of a thousand panels take about 5,000
ALL = "all"
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


def _numbers(story: Story, text: str) -> list[int]:
    if len(text) > MAX_TEXT:
        raise SeedStoryError(f"Panels are named in at most {MAX_TEXT} letters, got {len(text)}.")
    found: list[int] = []
    joined = re.sub(r"(\d)\s*-\s*(\d)", r"\1-\2", text)
    for part in re.split(r"[\s,;]+", joined.strip()):
        if not part:
            continue
        match = _PART.fullmatch(part)
        if match is None:
            raise SeedStoryError(
                f"{part[:40]!r} names no panel. Write numbers from 0 to {len(story) - 1} and "
                "ranges, as in '2, 4-6'."
            )
        first = check_index(story, int(match[1]))
        last = first if match[2] is None else check_index(story, int(match[2]))
        step = 1 if first <= last else -1
        found.extend(range(first, last + step, step))
        if len(found) > MAX_TEXT:
            raise SeedStoryError(f"More than {MAX_TEXT} panels are named. Name each once.")
    return found
