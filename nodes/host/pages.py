"""Book pages under ComfyUI: which layouts and fonts there are to choose from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.types import Story
from .folders import fonts_folder
from .names import listed

if TYPE_CHECKING:
    from ...seedstory_core.book.fonts import Fonts

AUTOMATIC = "(automatic)"


def layout_names() -> list[str]:
    """Names of the page layouts."""
    from ...seedstory_core.book.page import LAYOUTS

    return list(LAYOUTS)


def font_names() -> list[str]:
    """``(automatic)`` and the user's own font files."""
    return [AUTOMATIC, *_own_fonts()]


def _own_fonts() -> dict[str, Path]:
    """Font files in ``models/seedstory/fonts``, by their path in it."""
    from ...seedstory_core.book.fonts import font_files

    root = fonts_folder()
    return {path.relative_to(root).as_posix(): path for path in font_files([root])}


def font_file(name: str) -> Path | None:
    """The file behind one of `font_names`, None for the automatic choice; errors as `own_font`."""
    return None if name == AUTOMATIC else own_font(name)


def own_font(name: str) -> Path:
    """The user's own font file of that name.

    Raises:
        SeedStoryError: there is none; no name leads out of the folder.
    """
    own = _own_fonts()
    known = listed(name, own)
    if known is None:
        raise SeedStoryError(f"There is no font {name!r} in {fonts_folder()}. Choose another.")
    return own[known]


def check_font(name: str) -> None:
    """`own_font` for a choice of `font_names`."""
    if name != AUTOMATIC:
        own_font(name)


def story_pages(story: Story, layout: str, width: int, font: str) -> list[Tensor]:
    """Pages, uint8 [H, W, 3] each, with ``font`` wherever it has the letters."""
    from ...seedstory_core.book.page import LAYOUTS, pages

    return pages(story, LAYOUTS[layout], width, _fonts(font))


def page_left_out(story: Story, font: str) -> list[str]:
    """A sentence on the characters of captions that no font has, if any."""
    sentence = _fonts(font).left_out(panel.caption for panel in story.panels)
    return [sentence] if sentence else []


def _fonts(font: str) -> Fonts:
    from ...seedstory_core.book.fonts import Fonts

    return Fonts(folders=(fonts_folder(),), chosen=font_file(font))
