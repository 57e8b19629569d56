"""Contact sheets: told stories as pages of small captioned panels, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..book.page import Grid, pages
from ..errors import SeedStoryError
from ..files import atomic_batch
from ..images import encode_png, enlarge
from ..types import Panel, Story, WorldRef
from .runs import ToldStory

COLUMNS = 5
SCALE = 4  # 64 px panels shown at 256 px


def sheet(story: ToldStory, title: str, columns: int = COLUMNS) -> bytes:
    """One story on one page, the opening first, as PNG.

    Raises:
        SeedStoryError: the story is not painted.
    """
    if story.pictures is None:
        raise SeedStoryError(f"Story {story.number} is not painted, so there is no sheet of it.")
    panels = tuple(
        Panel(caption, caption, "told", image=enlarge(torch.from_numpy(picture.copy()), SCALE))
        for caption, picture in zip(story.captions, story.pictures, strict=True)
    )
    laid = Story(panels, "", WorldRef(title, ""), title)
    rows = -(-len(panels) // columns)
    page_width = columns * 64 * SCALE * 13 // 12
    (page,) = pages(laid, Grid(columns, rows), page_width)
    return encode_png(page)


def write_sheets(folder: Path, stories: Sequence[ToldStory], name: str) -> list[Path]:
    """A sheet for each story, ``<name>-<number>.png``."""
    written = [folder / f"{name}-{story.number:02d}.png" for story in stories]
    with atomic_batch() as write:
        for path, story in zip(written, stories, strict=True):
            write(path, sheet(story, name))
    return written
