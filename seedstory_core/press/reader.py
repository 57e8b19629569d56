"""One self-contained HTML file to read a story in: panel by panel or all in one scroll.

Works from a disk and without a network, on a phone (swipe, large areas to tap), with the keyboard,
in dark mode, printed, and without scripts (then it scrolls). Everything a story says is escaped; a
content security policy forbids any script but the page's own. The story file travels in a link that
saves it.
"""

from __future__ import annotations

import base64
import hashlib
import html
from pathlib import Path

from ..files import atomic_write_bytes
from ..images import encode_png, pixel_size
from ..story_file.archive import ATTACHMENT, MEDIA_TYPE
from ..types import Progress, no_progress
from .balloons import Balloon
from .bubbles import place
from .glyphs import subsets
from .reader_page import SCRIPT, STYLE
from .sheets import Book, Rect, Typesetter
from .spoken import spoken
from .svg import clean, drawing

SIDE = 480.0  # points: the width of a picture while its balloons are placed
SIZE = 15.0  # of the letters in balloons, at that width
SHARP = 256  # pixels; smaller pictures are mostly pixel art


def write_reader(
    book: Book, path: Path, story_file: bytes = b"", progress: Progress = no_progress
) -> Path:
    """Write ``path``, whole or not at all.

    Args:
        story_file: the story as a ``.seedstory`` file; a link on the last page saves it.

    Raises:
        SeedStoryError: fontTools is not installed (fonts are embedded as subsets).
    """
    maker = ReaderMaker(book)
    panels = []
    for index in range(len(book.story)):
        progress(index, len(book.story), f"panel {index}")
        panels.append(maker.panel(index))
    text = maker.document(panels, story_file)
    atomic_write_bytes(path, text.encode())
    progress(len(book.story), len(book.story), path.name)
    return path


class ReaderMaker:
    """The parts of the page."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.fonts = subsets(book.faces)
        self.setter = Typesetter(book.faces)
        self.spoken = spoken(book.captions, book.settings)
        self.rtl = book.settings.template.reading == "rtl"

    def panel(self, index: int) -> str:
        """One panel: picture with its balloons, and the caption under it."""
        kept, balloons = self.spoken[index]
        caption = html.escape(clean(kept))
        words = f'<figcaption dir="auto">{caption}</figcaption>' if caption else ""
        return (
            f'<section class="panel" id="p{index}" tabindex="-1">\n<figure>'
            f"{self._picture(index, balloons)}{words}</figure>\n</section>"
        )

    def _picture(self, index: int, balloons: list[Balloon]) -> str:
        image = self.book.story.panels[index].image
        if image is None:
            return '<div class="blank" aria-hidden="true"></div>'
        height, width = image.shape[:2]
        square = pixel_size(image)
        kind = ' class="pixels"' if square > 1 or max(width, height) <= SHARP else ""
        alt = html.escape(clean(self.book.captions[index]) or str(index))
        data = base64.b64encode(encode_png(image)).decode()
        frame = Rect(0, 0, SIDE, SIDE * height / width)
        steps = place(balloons, frame, self.setter, SIZE, self.rtl)
        art = drawing(steps, (frame.w, frame.h), self.book.faces, list(self.fonts))
        return (
            f'<div class="picture" style="--wide: {width / height:.4f}"><img{kind} alt="{alt}" '
            f'width="{width}" height="{height}" src="data:image/png;base64,{data}">{art}</div>'
        )

    def document(self, panels: list[str], story_file: bytes) -> str:
        """The whole page."""
        book = self.book
        title = html.escape(clean(book.title))
        author = html.escape(clean(book.settings.author))
        notice = html.escape(clean(book.settings.notice))
        closing = html.escape(clean(book.story.closing or ""))
        script = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
        policy = (
            f"default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'"
        )
        way = "rtl" if self.rtl else "ltr"
        head = (
            f'<!doctype html>\n<html lang="{book.language}">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title}</title>\n<style>{self._faces()}{STYLE}</style>\n</head>\n"
        )
        cover = (
            f'<section class="panel cover" id="cover" tabindex="-1"><h1 dir="auto">{title}</h1>'
            + (f'<p class="by" dir="auto">{author}</p>' if author else "")
            + (f'<p class="note" dir="auto">{notice}</p>' if notice else "")
            + "</section>"
        )
        last = (
            '<section class="panel end" id="end" tabindex="-1">'
            + (f'<p class="closing" dir="auto">{closing}</p>' if closing else "")
            + _saver(story_file)
            + "</section>"
        )
        ends = [last] if closing or story_file else []
        return (
            f'{head}<body data-way="{way}">\n<main>\n'
            + "\n".join([cover, *panels, *ends])
            + f"\n</main>\n{NAVIGATION}\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
        )

    def _faces(self) -> str:
        rules = []
        for number, data in enumerate(self.fonts.values()):
            code = base64.b64encode(data).decode()
            rules.append(
                f'@font-face {{ font-family: "f{number}"; '
                f'src: url("data:font/otf;base64,{code}"); }}'
            )
        families = ", ".join(f'"f{number}"' for number in range(len(self.fonts)))
        return "\n".join([*rules, f":root {{ --letters: {families}, serif; }}\n"])


NAVIGATION = (
    '<nav hidden><button id="back" type="button" aria-label="Previous">\u2039</button>'
    '<output id="place" aria-live="polite"></output>'
    '<button id="on" type="button" aria-label="Next">\u203a</button>'
    '<button id="all" type="button" aria-label="All panels" aria-pressed="false">\u2261</button>'
    "</nav>"
)


def _saver(story_file: bytes) -> str:
    if not story_file:
        return ""
    data = base64.b64encode(story_file).decode()
    return (
        f'<p><a class="save" download="{ATTACHMENT}" href="data:{MEDIA_TYPE};base64,{data}">'
        f"{ATTACHMENT}</a></p>"
    )
