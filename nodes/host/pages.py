"""Book pages under ComfyUI: which layouts and fonts there are to choose from."""

from __future__ import annotations

from torch import Tensor

from ...seedstory_core.types import Story


def layout_names() -> list[str]:
    """Names of the page layouts."""
    return ["grid", "strip", "single"]


def font_names() -> list[str]:
    """``(automatic)`` and the font files of the user."""
    return ["(automatic)"]


def story_pages(story: Story, layout: str, width: int, font: str) -> list[Tensor]:
    """Pages, uint8 [H, W, 3] each."""
    raise NotImplementedError
