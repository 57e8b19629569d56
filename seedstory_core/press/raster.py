"""Pages as pictures: draws a book's steps with Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor

from PIL import Image, ImageDraw
from torch import Tensor

from ..book.text import Setter
from ..images import from_pil, pixel_size, to_pil
from ..types import Progress, no_progress
from .sheets import PAPER, Book, Picture, Rect, Shape, Sheet, Words

FINE = 4  # shapes are drawn this many times as large, for smooth edges


def page_images(book: Book, progress: Progress = no_progress) -> Iterator[Tensor]:
    """Each page as uint8 [H, W, 3] at the paper's dpi, bleed included."""
    for number, sheet in enumerate(book.sheets):
        progress(number, len(book.sheets), f"page {number + 1}")
        yield from_pil(draw_sheet(book, sheet))
    progress(len(book.sheets), len(book.sheets), "pages drawn")


def draw_sheet(book: Book, sheet: Sheet) -> Image.Image:
    """One page at the paper's dpi."""
    pen = Pen(book, Image.new("RGB", book.paper.pixels, PAPER))
    for step in sheet.steps:
        if isinstance(step, Picture):
            pen.picture(step)
        elif isinstance(step, Shape):
            pen.shape(step)
        else:
            pen.words(step)
    return pen.page


class Pen:
    """Draws on one page, given in points."""

    def __init__(self, book: Book, page: Image.Image) -> None:
        self.book, self.page = book, page
        self.scale = book.paper.dpi / 72

    def _at(self, x: float, y: float) -> tuple[float, float]:
        over = self.book.paper.over
        return (x + over) * self.scale, (y + over) * self.scale

    def picture(self, step: Picture) -> None:
        """The part of a picture that its frame shows."""
        image = self.book.story.panels[step.panel].image
        assert image is not None
        left, top = (round(value) for value in self._at(step.frame.x, step.frame.y))
        right, low = (round(value) for value in self._at(step.frame.right, step.frame.bottom))
        size = (max(1, right - left), max(1, low - top))
        self.page.paste(resample(image, _part(step), size), (left, top))

    def shape(self, step: Shape) -> None:
        """A polygon with smooth edges, drawn large on a patch and scaled down."""
        points = [self._at(*point) for point in step.points]
        line = step.width * self.scale if step.stroke else 0.0
        left = floor(min(x for x, _ in points) - line) - 1
        top = floor(min(y for _, y in points) - line) - 1
        right = ceil(max(x for x, _ in points) + line) + 1
        low = ceil(max(y for _, y in points) + line) + 1
        size = (right - left, low - top)
        fine = [((x - left) * FINE, (y - top) * FINE) for x, y in points]
        for colour, draw in ((step.fill, _filled), (step.stroke, _stroked)):
            if colour:
                mask = Image.new("L", (size[0] * FINE, size[1] * FINE))
                draw(ImageDraw.Draw(mask), fine, line * FINE)
                mask = mask.resize(size, Image.Resampling.BOX)
                self.page.paste(Image.new("RGB", size, colour), (left, top), mask)

    def words(self, step: Words) -> None:
        """A line of text, turned where it is."""
        setter = Setter(self.book.faces, step.size * self.scale)
        x, y = self._at(step.x, step.y)
        if not step.angle and not step.halo:
            setter.draw(ImageDraw.Draw(self.page), x, y, step.text, step.colour)
            return
        room = ceil(step.size * self.scale * 1.6)
        size = (ceil(step.w * self.scale) + 2 * room, 2 * room)
        patch = Image.new("L", size)
        setter.draw(ImageDraw.Draw(patch), room, room, step.text, "#ffffff")
        for colour, mask in _rimmed(patch, step, self.scale):
            turned = mask.rotate(step.angle, Image.Resampling.BICUBIC, center=(room, room))
            corner = (round(x) - room, round(y) - room)
            self.page.paste(Image.new("RGB", size, colour), corner, turned)


def _rimmed(patch: Image.Image, step: Words, scale: float) -> Iterator[tuple[str, Image.Image]]:
    from PIL import ImageFilter

    if step.halo:
        reach = max(1, round(step.size * scale * 0.07))
        yield step.halo, patch.filter(ImageFilter.MaxFilter(2 * reach + 1))
    yield step.colour, patch


def _filled(draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], line: float) -> None:
    draw.polygon(points, fill=255)


def _stroked(draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], line: float) -> None:
    closed = [*points, points[0], points[1]]
    draw.line(closed, fill=255, width=max(1, round(line)), joint="curve")


def _part(step: Picture) -> Rect:
    """The frame in shares of the whole picture."""
    whole, frame = step.whole, step.frame
    return Rect(
        (frame.x - whole.x) / whole.w,
        (frame.y - whole.y) / whole.h,
        frame.w / whole.w,
        frame.h / whole.h,
    )


def resample(image: Tensor, part: Rect, size: tuple[int, int]) -> Image.Image:
    """A part of uint8 [H, W, 3], given in shares, at ``size`` (width, height).

    Exact enlargements of small pictures keep sharp squares: they go back to their own size, grow by
    a whole factor, and only then shrink to the size wanted.
    """
    picture = to_pil(image)
    square = pixel_size(image)
    own = (picture.width // square, picture.height // square)
    small = picture.resize(own, Image.Resampling.NEAREST) if square > 1 else picture
    box = (
        max(0.0, part.x * own[0]),
        max(0.0, part.y * own[1]),
        min(float(own[0]), (part.x + part.w) * own[0]),
        min(float(own[1]), (part.y + part.h) * own[1]),
    )
    growth = size[0] / max(1e-6, box[2] - box[0])
    if (square > 1 or max(own) <= 256) and growth > 1:
        times = ceil(growth)
        small = small.resize((own[0] * times, own[1] * times), Image.Resampling.NEAREST)
        scaled = (box[0] * times, box[1] * times, box[2] * times, box[3] * times)
        return small.resize(size, Image.Resampling.BOX, box=scaled)
    return small.resize(size, Image.Resampling.LANCZOS, box=box)
