"""PDF: vector text in embedded subset fonts, pictures with alternative text, boxes for print.

Written by fpdf2, which shapes text with HarfBuzz. The story file travels along as an attachment, so
the PDF is the book and the story in one.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from PIL import Image, ImageColor
from torch import Tensor

from ..book.fonts import Face
from ..book.text import Setter, right_to_left
from ..files import atomic_path
from ..images import enlarge, pixel_size, to_pil
from ..story_file.archive import ATTACHMENT, MEDIA_TYPE
from ..types import Progress, no_progress
from .extras import need
from .glyphs import embedding
from .sheets import PAPER, Book, Picture, Rect, Shape, Sheet, Words

CREATED = datetime(1980, 1, 1, tzinfo=timezone.utc)  # always: the same book is the same file
SHARP = 256  # pixels; smaller pictures are mostly pixel art
CRISP = 1200  # pixels to which pixel art grows at least, since viewers blur what they enlarge


def write_pdf(
    book: Book, path: Path, story_file: bytes = b"", progress: Progress = no_progress
) -> Path:
    """Write ``path``, whole or not at all.

    Args:
        story_file: the story as a ``.seedstory`` file, attached under `ATTACHMENT`.

    Raises:
        SeedStoryError: fpdf2 or uharfbuzz is not installed, or a font cannot be embedded.
    """
    maker = PdfMaker(book)
    for number, sheet in enumerate(book.sheets):
        progress(number, len(book.sheets), f"page {number + 1}")
        maker.page(sheet)
    data = maker.finish(story_file)
    with atomic_path(path, len(data)) as part:
        part.write_bytes(data)
    progress(len(book.sheets), len(book.sheets), path.name)
    return path


class PdfMaker:
    """One PDF in the making; pages come in order."""

    def __init__(self, book: Book) -> None:
        need("uharfbuzz")
        self.book = book
        self.names: dict[Face, str] = {}
        width, height = book.paper.trim
        over = book.paper.over
        self.size = (width + 2 * over, height + 2 * over)
        self.pdf: Any = need("fpdf").FPDF(unit="pt", format=self.size)
        self.pdf.set_auto_page_break(False)
        self.pdf.c_margin = 0
        self.pdf.set_title(book.title)
        self.pdf.set_lang(book.language)
        self.pdf.set_producer("SEED-Story book press (fpdf2)")
        self.pdf.set_creation_date(CREATED)
        if book.settings.author:
            self.pdf.set_author(book.settings.author)
        self._fonts()

    def _fonts(self) -> None:
        """Make each font known with the characters that the book sets in it, and no others."""
        wanted: dict[Face, set[int]] = {}
        for char, face in self.book.faces.items():
            wanted.setdefault(face, {32}).add(ord(char))
        for number, (face, codes) in enumerate(wanted.items()):
            self.names[face] = f"face{number}"
            with embedding([face]):
                self.pdf.add_font(
                    self.names[face],
                    fname=str(face.path),
                    collection_font_number=face.index,
                    unicode_range=sorted(codes),
                )

    def page(self, sheet: Sheet) -> None:
        """Add one page with its boxes: media as large as the bleed, trim and bleed for printers."""
        self.pdf.add_page()
        over, (width, height) = self.book.paper.over, self.size
        page = self.pdf.pages[self.pdf.page]
        # fpdf2 has no call for these; it writes every attribute of a page into the page's entry
        page.media_box = page.bleed_box = f"[0 0 {width:.2f} {height:.2f}]"
        page.trim_box = f"[{over:.2f} {over:.2f} {width - over:.2f} {height - over:.2f}]"
        for step in sheet.steps:
            if isinstance(step, Picture):
                self._picture(step)
            elif isinstance(step, Shape):
                self._shape(step)
            else:
                self._words(step)

    def finish(self, story_file: bytes) -> bytes:
        """The whole file."""
        if story_file:
            self.pdf.embed_file(
                bytes=story_file,
                basename=ATTACHMENT,
                desc="The story itself, to be opened again",
                mime_type=MEDIA_TYPE,
            )
        with embedding(self.names):  # which is where fpdf2 cuts the fonts down
            return bytes(self.pdf.output())

    def _picture(self, step: Picture) -> None:
        panel = self.book.story.panels[step.panel]
        assert panel.image is not None
        whole, frame = self._moved(step.whole), self._moved(step.frame)
        with self.pdf.rect_clip(frame.x, frame.y, frame.w, frame.h):
            self.pdf.image(
                _crisp(panel.image),
                whole.x,
                whole.y,
                whole.w,
                whole.h,
                alt_text=self.book.captions[step.panel] or str(step.panel),
            )

    def _moved(self, box: Rect) -> Rect:
        over = self.book.paper.over
        return Rect(box.x + over, box.y + over, box.w, box.h)

    def _shape(self, step: Shape) -> None:
        over = self.book.paper.over
        points = [(x + over, y + over) for x, y in step.points]
        if step.fill:
            self.pdf.set_fill_color(*ImageColor.getrgb(step.fill))
        if step.stroke:
            self.pdf.set_draw_color(*ImageColor.getrgb(step.stroke))
            self.pdf.set_line_width(step.width)
        style = ("D" if step.stroke else "") + ("F" if step.fill else "")
        self.pdf.polygon(points, style=style)

    def _words(self, step: Words) -> None:
        over = self.book.paper.over
        x, y = step.x + over, step.y + over
        if not step.angle:
            self._line(step, x, y)
            return
        with self.pdf.rotation(step.angle, x, y):
            if step.halo:
                with self.pdf.local_context(
                    text_mode="STROKE",
                    draw_color=ImageColor.getrgb(step.halo or PAPER),
                    line_width=step.size * 0.14,
                ):
                    self._line(step, x, y)
            self._line(step, x, y)

    def _line(self, step: Words, x: float, y: float) -> None:
        """One line, font by font, from left to right."""
        way = "rtl" if right_to_left(step.text) else None
        self.pdf.set_text_shaping(True, direction=way)
        self.pdf.set_text_color(*ImageColor.getrgb(step.colour))
        setter = Setter(self.book.faces, step.size)
        for face, run in setter.runs(step.text):
            self.pdf.set_font(self.names[face], size=step.size)
            wide = self.pdf.get_string_width(run)
            self.pdf.set_xy(x, y - 0.8 * step.size)  # a cell's base line is at 0.5 h + 0.3 size
            self.pdf.cell(wide, step.size, run)
            x += wide


def _crisp(image: Tensor) -> Image.Image:
    """A picture as it is embedded: pixel art grows by a whole factor, others stay as they are."""
    longer = max(image.shape[:2])
    if longer >= CRISP or (longer > SHARP and pixel_size(image) == 1):
        return to_pil(image)
    return to_pil(enlarge(image, -(-CRISP // longer)))
