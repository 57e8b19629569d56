"""What a book shall look like, as one frozen value."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SeedStoryError
from .balloons import Balloon
from .paper import Paper, trim_size
from .templates import TEMPLATES, Template, find_template

MAX_TITLE = 300
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@dataclass(frozen=True)
class BookSettings:
    """How a story becomes a book.

    Attributes:
        template: how panels lie on pages.
        paper: trim size, bleed and resolution.
        title: on the title page; empty: the name of the story's run.
        author: under the title.
        title_page: whether there is one.
        page_numbers: whether pages are numbered.
        balloons: placed by hand.
        quotes: move quoted speech into balloons and set SOUND! words on the pictures.
        language: BCP 47 tag for readers; empty: found by the script of the captions.
        font: a file to take letters from wherever it has them; None: found by script.
        notice: a sentence readers must see (`World.notice`), on the title page or the first one.
    """

    template: Template = field(default_factory=lambda: TEMPLATES["single"])
    paper: Paper = field(default_factory=lambda: Paper(148, 210))
    title: str = ""
    author: str = ""
    title_page: bool = True
    page_numbers: bool = True
    balloons: tuple[Balloon, ...] = ()
    quotes: bool = False
    language: str = ""
    font: Path | None = None
    notice: str = ""

    def __post_init__(self) -> None:
        if max(len(self.title), len(self.author)) > MAX_TITLE:
            raise SeedStoryError(f"Title and author have at most {MAX_TITLE} characters each.")
        if self.language and not LANGUAGE.fullmatch(self.language):
            raise SeedStoryError(
                f"{self.language[:40]!r} is no language tag; give one like en, zh-Hans or ar."
            )


def paper_for(
    template: Template, trim: str = "", bleed: float = 0.0, margin: float = 0.0, dpi: int = 150
) -> Paper:
    """Paper of the named trim size, or of the size the template is made for."""
    width, height = trim_size(trim or template.trim)
    return Paper(width, height, bleed, margin, dpi)


def book_settings(template: str = "single", trim: str = "", **more: Any) -> BookSettings:
    """Settings from plain words: names or JSON of a template, a trim size, and the rest by name.

    Args:
        more: ``bleed``, ``margin``, ``dpi`` of the paper; all else as in `BookSettings`.
    """
    chosen = find_template(template)
    sheet = {key: more.pop(key) for key in ("bleed", "margin", "dpi") if key in more}
    return BookSettings(chosen, paper_for(chosen, trim, **sheet), **more)
