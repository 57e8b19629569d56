"""``story export``: a story as a book, a reader, subtitles or a video."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from ..errors import SeedStoryError
from ..types import Progress, Story, no_progress

TEXTS = 1 << 20  # bytes of a template or balloon file

logger = logging.getLogger(__name__)


def add_options(parser: Any) -> None:
    """Add the options of a book to an ``argparse`` parser."""
    from ..press.paper import TRIMS
    from ..press.templates import TEMPLATES

    add = parser.add_argument
    add("--template", default="single", help=f"{', '.join(TEMPLATES)}, or a JSON file")
    add("--trim", default="", help=f"{', '.join(TRIMS)}, or like '6 x 9 in' (default: template's)")
    add("--bleed", type=float, default=0.0, metavar="MM", help="beyond the trim, for print: 3")
    add("--margin", type=float, default=0.0, metavar="MM", help="(default: 6%% of the page)")
    add("--dpi", type=int, default=150, help="of page pictures (default 150; print 300)")
    add("--title", default="", help="on the title page (default: name of the story)")
    add("--author", default="", help="under the title")
    add("--language", default="", metavar="TAG", help="such as en or zh (default: by the script)")
    add("--no-title-page", dest="title_page", action="store_false", help="begin with panel 0")
    add("--no-page-numbers", dest="page_numbers", action="store_false", help="print none")
    add("--quotes", action="store_true", help="put quoted speech into balloons")
    add("--balloons", type=Path, metavar="JSON", help="file of balloons placed by hand")
    add("--font", type=Path, metavar="FILE", help="font to use wherever it has the letter")
    add("--size", default="1280x720", metavar="WxH", help="of a video (default 1280x720)")
    add("--fps", type=int, default=24, help="frames a second of a video (default 24)")
    add("--letters", type=float, default=17.0, help="letters read in a second (default 17)")
    add("--no-captions", dest="captions", action="store_false", help="none in the video")
    add("--no-story", dest="carry", action="store_false", help="leave the story file out")


def export(
    story: Story, path: Path, options: argparse.Namespace, progress: Progress = no_progress
) -> Path:
    """Write ``story`` as the kind of file that the ending of ``path`` names.

    Args:
        options: parsed by a parser that `add_options` has filled.

    Raises:
        SeedStoryError: an unknown ending, unusable options, and all that the formats raise.
    """
    from ..book.fonts import Fonts
    from ..press.formats import BOOKS, PAGES, press
    from ..press.timing import Pace
    from ..press.video import VideoSettings
    from ..story_file import pack_story

    width, _, height = options.size.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise SeedStoryError(f"--size is like 1280x720, got {options.size[:40]!r}.")
    pace = Pace(letters=options.letters)
    video = VideoSettings(int(width), int(height), options.fps, pace, options.captions)
    carried = options.carry and path.suffix.lower() in (*BOOKS, PAGES, "")
    return press(
        story,
        path,
        _settings(story, options),
        video,
        Fonts(chosen=options.font),
        pack_story(story) if carried else b"",
        progress,
    )


def _settings(story: Story, options: argparse.Namespace) -> Any:
    from ..press.balloons import read_balloons
    from ..press.settings import book_settings

    template = options.template
    if template.lower().endswith(".json"):
        template = _text(Path(template))
    names = ("trim", "bleed", "margin", "dpi", "title", "author", "language", "title_page")
    names += ("page_numbers", "quotes")
    given = {name: getattr(options, name) for name in names}
    balloons = read_balloons(_text(options.balloons)) if options.balloons else ()
    return book_settings(template, balloons=balloons, notice=_notice(story), **given)


def _notice(story: Story) -> str:
    """What readers must know of the story's world, where that very world is at hand."""
    from .places import BABBLE, open_world

    name = story.world.name
    if name == BABBLE:
        from ..babble import NOTICE

        return NOTICE
    if Path(name).name != name:  # a name is no path, whatever a story from elsewhere says
        return ""
    try:
        world = open_world(name)
    except SeedStoryError as error:
        logger.debug("book without the world's notice: %s", error)
        return ""
    return world.notice if world.ref.digest == story.world.digest else ""


def _text(path: Path) -> str:
    if not path.is_file() or path.stat().st_size > TEXTS:
        raise SeedStoryError(f"{path} is no JSON file of at most {TEXTS >> 20} MB. Check the path.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SeedStoryError(f"{path} is not UTF-8 text ({error.reason}). Save it so.") from error
