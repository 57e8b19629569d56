"""A story and settings -> a book: pictures in frames, captions in lines, pages in order.

No word of a caption is lost: what a page cannot hold, even in smaller letters, goes on on pages of
its own right after it, between two ellipses.
"""

from __future__ import annotations

from dataclasses import replace

from ..book.fonts import Fonts
from ..book.letters import ELLIPSIS, printable
from ..errors import SeedStoryError
from ..types import Progress, Story, no_progress
from .captions import Plan, caption_size, spread_text
from .language import language_of
from .plates import Plates
from .settings import MAX_TITLE, BookSettings
from .sheets import SOFT, Book, Picture, Rect, Sheet, Step, Typesetter, height_of
from .spoken import spoken
from .templates import Areas, Template, cells

MAX_CAPTION = 400_000  # characters of one caption; 10,000 words are 60,000
MAX_PANELS = 10_000


def lay_out(
    story: Story,
    settings: BookSettings | None = None,
    fonts: Fonts | None = None,
    progress: Progress = no_progress,
) -> Book:
    """The story on pages.

    Raises:
        SeedStoryError: no panel, a balloon for a panel that is not there, letters that no font
            has (names the script and a font that has them).
    """
    settings = settings or BookSettings()
    _check(story, settings)
    captions = [printable(panel.caption, MAX_CAPTION) for panel in story.panels]
    title = printable(settings.title) or printable(story.run, MAX_TITLE) or "Story"
    author, notice = printable(settings.author), printable(settings.notice)
    closing = printable(story.closing or "", MAX_CAPTION)
    balloons = [printable(balloon.text) for balloon in settings.balloons]
    letters = "".join([*captions, *balloons, title, author, notice, closing])
    fonts = fonts or Fonts()
    fonts = replace(fonts, chosen=settings.font or fonts.chosen)
    faces = fonts.choose(letters + ELLIPSIS + "0123456789")
    setter = Typesetter(faces)
    captions = [setter.ruler.visible(text) for text in captions]
    plan = Plan(story, settings, captions, spoken(captions, settings), setter)
    pages = Plates(plan)
    sheets: list[Sheet] = []
    if settings.title_page:
        sheets.append(pages.title(*map(setter.ruler.visible, (title, author, notice))))
    elif notice:
        sheets.append(pages.words([notice]))
    sheets += _panels(plan, pages, len(sheets), progress)
    if closing:
        sheets += spread_text(plan, setter.ruler.visible(closing), centred=True)
    numbered = tuple(_numbered(sheet, at, plan) for at, sheet in enumerate(sheets))
    language = settings.language or language_of("".join(captions) + title)
    return Book(story, settings, title, numbered, tuple(captions), faces, language)


def left_out(story: Story, settings: BookSettings | None = None, fonts: Fonts | None = None) -> str:
    """A sentence on the characters that a book leaves out, since no font has them; "" where it
    has them all (`Fonts.left_out`)."""
    settings, fonts = settings or BookSettings(), fonts or Fonts()
    texts = [panel.caption[:MAX_CAPTION] for panel in story.panels]
    texts += [balloon.text for balloon in settings.balloons]
    texts += [
        settings.title or story.run[:MAX_TITLE],
        settings.author,
        settings.notice,
        story.closing or "",
    ]
    return replace(fonts, chosen=settings.font or fonts.chosen).left_out(texts)


def _check(story: Story, settings: BookSettings) -> None:
    if not story.panels:
        raise SeedStoryError("The story has no panel yet, so there is no book to press.")
    if len(story) > MAX_PANELS:
        raise SeedStoryError(
            f"A book holds at most {MAX_PANELS} panels, this story has {len(story)}. Press parts."
        )
    for balloon in settings.balloons:
        if not 0 <= balloon.panel < len(story):
            raise SeedStoryError(
                f"A balloon is meant for panel {balloon.panel}, but the story has panels 0 to "
                f"{len(story) - 1}."
            )


def _panels(plan: Plan, pages: Plates, before: int, progress: Progress) -> list[Sheet]:
    """The pages of all panels; a spread's text page faces its picture when the book lies open."""
    template, count = plan.settings.template, len(plan.captions)
    sheets: list[Sheet] = []
    at = turn = 0
    while at < count:
        progress(at, count, "laying out")
        areas = _areas(template, turn, count - at)
        panels = range(at, min(at + len(cells(areas)), count))
        if template.caption == "facing":
            text = spread_text(plan, plan.captions[at], centred=True)
            spare = (before + len(sheets) + len(text)) % 2 == 1
            sheets += [*([Sheet(())] if spare else []), *text, pages.plate(at)]
        else:
            sheets += pages.panels(areas, panels)
        at, turn = panels.stop, turn + 1
    progress(count, count, "laid out")
    return sheets


def _areas(template: Template, turn: int, left: int) -> Areas:
    """The grid of the next page; where fewer panels are left, the one with least empty room."""
    usual = template.pages[turn % len(template.pages)]
    if len(cells(usual)) <= left:
        return usual
    roomy = [areas for areas in template.pages if len(cells(areas)) >= left]
    return min(roomy or [usual], key=lambda areas: len(cells(areas)))


def _numbered(sheet: Sheet, at: int, plan: Plan) -> Sheet:
    """``sheet`` with its page number in the middle of the lower margin, where paper shows."""
    settings, setter = plan.settings, plan.setter
    number = at + 1
    width, height = settings.paper.trim
    bare = settings.title_page and at == 0
    if bare or not settings.page_numbers or not sheet.steps or _full(sheet, width, height):
        return replace(sheet, number=number)
    size = min(9.0, caption_size(plan))
    top = height - settings.paper.border * 0.62 - height_of(1, size) / 2
    box = Rect(0, top, width, 0)
    steps: list[Step] = [*sheet.steps, *setter.block([str(number)], box, size, SOFT, True)]
    return Sheet(tuple(steps), sheet.panels, number)


def _full(sheet: Sheet, width: float, height: float) -> bool:
    """Whether a picture fills the page to its edges."""
    return any(
        isinstance(step, Picture) and step.frame.w >= width - 1 and step.frame.h >= height - 1
        for step in sheet.steps
    )
