"""Story pages as pictures: panels in a grid, each with its caption under it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from PIL import Image, ImageDraw
from torch import Tensor

from ..errors import SeedStoryError
from ..images import from_pil, pixel_size, scale_to_fit, to_pil
from ..types import Panel, Story
from .fonts import Fonts
from .letters import printable
from .text import Setter, right_to_left

SMALLEST, LARGEST = 480, 1024  # pixels of a picture's longer side, where the page width is free
PAPER, CARD, LINE, INK, SOFT = "#faf6ee", "#fffdf8", "#e2d9c8", "#2b2622", "#8a8178"
MIN_CELL, MAX_WIDTH = 64, 16_384
MAX_ASPECT = 2  # of the box for pictures; longer ones stand inside it
MAX_LINES = 24  # of a caption; what is beyond is cut with an ellipsis


@dataclass(frozen=True)
class Grid:
    """Rows of panels, read like text.

    Attributes:
        columns: panels side by side.
        rows: rows on a page.
        largest: most pixels along a picture's side, where the page width is free.
    """

    columns: int = 2
    rows: int = 2
    largest: int = 768

    def __post_init__(self) -> None:
        if not (1 <= self.columns <= 12 and 1 <= self.rows <= 24 and self.largest >= 1):
            raise SeedStoryError(
                f"A grid has 1 to 12 columns and 1 to 24 rows, got {self.columns} x {self.rows}."
            )


@dataclass(frozen=True)
class Strip(Grid):
    """A comic strip: one row."""

    columns: int = 4
    rows: int = 1
    largest: int = 640


@dataclass(frozen=True)
class Single(Grid):
    """A picture book: one panel a page."""

    columns: int = 1
    rows: int = 1
    largest: int = LARGEST


#: By name, for menus.
LAYOUTS: Mapping[str, Grid] = {"grid": Grid(), "strip": Strip(), "single": Single()}


@dataclass(frozen=True)
class _Measures:
    """Pixels: the box of a picture (width, height), the gap between cards, the padding of text,
    the letters, and the page's width (0: as wide as its cards).
    """

    cell: tuple[int, int]
    gap: int
    pad: int
    font: int
    width: int


def pages(story: Story, layout: Grid, width: int = 0, fonts: Fonts | None = None) -> list[Tensor]:
    """The story on pages of one size.

    Args:
        width: of a page in pixels; 0 chooses it so that small pictures grow by whole factors and
            large ones shrink to ``layout.largest``. Pixel art shown enlarged stays pixel-exact:
            its cells are whole multiples of its own size.
        fonts: where letters come from; by default the shipped font and the system's.

    Returns: uint8 [H, W, 3] each.

    Raises:
        SeedStoryError: an empty story, an impossible width, or letters that no font has.
    """
    if not story.panels:
        raise SeedStoryError("The story has no panel yet, so there is no page to print.")
    measures = _measure(story, layout, width)
    captions = [printable(panel.caption) for panel in story.panels]
    faces = (fonts or Fonts()).choose("".join(captions) + "…0123456789notpaintedyet")
    setter = Setter(faces, measures.font)
    captions = [setter.visible(text) for text in captions]
    blocks = [setter.wrap(text, measures.cell[0] - measures.pad, MAX_LINES) for text in captions]
    each = layout.columns * layout.rows
    sheets = [range(start, min(start + each, len(story))) for start in range(0, len(story), each)]
    height = max(_height(sheet, blocks, layout, measures, setter) for sheet in sheets)
    return [
        from_pil(_page(sheet, story.panels, blocks, layout, measures, setter, height))
        for sheet in sheets
    ]


def _measure(story: Story, layout: Grid, width: int) -> _Measures:
    """The box that suits most pictures, and everything else in proportion to it."""
    wide, tall = _usual_size(story)
    unit = _usual_unit(story)
    if width:
        cell = (width * 24) // (25 * layout.columns + 1)
        if cell < MIN_CELL or width > MAX_WIDTH:
            raise SeedStoryError(
                f"A page {width} pixels wide cannot hold {layout.columns} columns: choose a width "
                f"from {layout.columns * MIN_CELL * 13 // 12} to {MAX_WIDTH}, or 0 to leave it to "
                "the layout."
            )
    else:
        longer = max(tall, wide)
        scale = ceil(SMALLEST / longer) if longer < SMALLEST else min(1, layout.largest / longer)
        cell = round(wide * scale)
    if cell > unit:
        cell -= cell % unit
    scale = cell / wide
    box = (cell, round(tall * (int(scale) if scale >= 1 and unit == 1 else scale)))
    part = cell / 24
    return _Measures(box, max(4, round(part)), max(12, round(part * 1.6)), _font_size(cell), width)


def _usual_unit(story: Story) -> int:
    """Pixels that a cell's width must be a multiple of: most pictures' width before enlarging.

    1 where most pictures are no exact enlargements.
    """
    pictures = [panel.image for panel in story.panels if panel.image is not None]
    units = Counter((int(image.shape[1]), pixel_size(image)) for image in pictures)
    if not units:
        return 1
    (wide, square), _ = units.most_common(1)[0]
    return wide // square if square > 1 else 1


def _usual_size(story: Story) -> tuple[int, int]:
    """(width, height) of most pictures, the squarer ones where two sizes are as usual."""
    shapes = [panel.image.shape[1::-1] for panel in story.panels if panel.image is not None]
    counts = Counter((int(wide), int(tall)) for wide, tall in shapes)
    if not counts:
        return (512, 512)

    def rank(size: tuple[int, int]) -> tuple[int, float]:
        return counts[size], min(size) / max(size)

    wide, tall = max(counts, key=rank)
    return max(wide, tall // MAX_ASPECT), max(tall, wide // MAX_ASPECT)


def _font_size(cell: int) -> int:
    """Readable whatever the picture's size: 5 % of its width, a little less of very wide ones."""
    return max(14, min(round(cell * 0.05), max(44, round(cell * 0.036))))


def _caption_height(lines: int, measures: _Measures, setter: Setter) -> int:
    return lines * setter.height + measures.pad


def _row_heights(
    sheet: Sequence[int], blocks: Sequence[list[str]], layout: Grid, m: _Measures, setter: Setter
) -> list[int]:
    rows = [sheet[at : at + layout.columns] for at in range(0, len(sheet), layout.columns)]
    lines = [max(len(blocks[index]) for index in row) for row in rows]
    return [m.cell[1] + _caption_height(count, m, setter) for count in lines]


def _height(
    sheet: Sequence[int], blocks: Sequence[list[str]], layout: Grid, m: _Measures, setter: Setter
) -> int:
    heights = _row_heights(sheet, blocks, layout, m, setter)
    return sum(heights) + (len(heights) + 1) * m.gap


def _page(
    sheet: Sequence[int],
    panels: Sequence[Panel],
    blocks: Sequence[list[str]],
    layout: Grid,
    m: _Measures,
    setter: Setter,
    height: int,
) -> Image.Image:
    used = layout.columns * m.cell[0] + (layout.columns - 1) * m.gap
    width = m.width or used + 2 * m.gap
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    top = m.gap
    for row, tall in enumerate(_row_heights(sheet, blocks, layout, m, setter)):
        for column, index in enumerate(sheet[row * layout.columns : (row + 1) * layout.columns]):
            left = (width - used) // 2 + column * (m.cell[0] + m.gap)
            card = (left - 1, top - 1, left + m.cell[0], top + tall)
            draw.rectangle(card, fill=CARD, outline=LINE)
            _picture(page, draw, panels[index], (left, top), m, setter)
            _caption(draw, blocks[index], (left, top + m.cell[1]), m, setter)
        top += tall + m.gap
    return page


def _picture(
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    panel: Panel,
    corner: tuple[int, int],
    m: _Measures,
    setter: Setter,
) -> None:
    left, top = corner
    wide, tall = m.cell
    if panel.image is None:
        draw.rectangle((left, top, left + wide - 1, top + tall - 1), fill=PAPER)
        note = "not painted yet"
        at = (left + (wide - setter.width(note)) / 2, top + (tall + setter.size) / 2)
        setter.draw(draw, *at, note, SOFT)
        return
    picture = scale_to_fit(to_pil(panel.image), wide, tall)
    page.paste(picture, (left + (wide - picture.width) // 2, top + (tall - picture.height) // 2))


def _caption(
    draw: ImageDraw.ImageDraw,
    lines: Sequence[str],
    corner: tuple[int, int],
    m: _Measures,
    setter: Setter,
) -> None:
    left, top = corner
    inner = m.cell[0] - m.pad
    base = top + m.pad // 2 + round(setter.size * 1.05)
    for number, line in enumerate(lines):
        indent = inner - setter.width(line) if right_to_left(line) else 0.0
        setter.draw(draw, left + m.pad / 2 + indent, base + number * setter.height, line, INK)
