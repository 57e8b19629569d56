"""Fonts that are damaged in any table end in a sentence, in every format that embeds them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont
from fontTools.ttLib.tables.DefaultTable import DefaultTable
from PIL import Image, ImageDraw

from seedstory_core.book.cmap import face_ranges
from seedstory_core.book.fonts import Face, Fonts
from seedstory_core.book.text import Setter
from seedstory_core.errors import SeedStoryError
from seedstory_core.press.formats import press
from seedstory_core.press.glyphs import subsets
from seedstory_core.press.settings import BookSettings
from seedstory_core.types import Story

TABLES = ("head", "hhea", "maxp", "OS/2", "hmtx", "cmap", "loca", "glyf", "name", "post")
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "zeros": lambda table: bytes(len(table)),
    "ones": lambda table: b"\xff" * len(table),
    "its first half": lambda table: table[: len(table) // 2] + b"\x7f" * (len(table) // 2),
}


def small_font(path: Path) -> Path:
    """A font of a few letters, each a box."""
    letters = {ord(char): f"g{ord(char)}" for char in "Abcdefox. "}
    order = [".notdef", *letters.values()]
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(order)
    builder.setupCharacterMap(letters)
    pen = TTGlyphPen(None)
    pen.moveTo((50, 0))
    for point in ((450, 0), (450, 700), (50, 700)):
        pen.lineTo(point)
    pen.closePath()
    builder.setupGlyf({name: pen.glyph() for name in order})
    builder.setupHorizontalMetrics({name: (500, 50) for name in order})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Small", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path


def damaged(font: bytes, table: str, damage: Callable[[bytes], bytes]) -> bytes:
    """``font`` with one table damaged, its directory as it was."""
    (count,) = struct.unpack_from(">H", font, 4)
    for at in range(12, 12 + 16 * count, 16):
        tag, _, start, size = struct.unpack_from(">4sIII", font, at)
        if tag.decode().strip() == table:
            changed = damage(font[start : start + size]).ljust(size, b"\0")[:size]
            return font[:start] + changed + font[start + size :]
    raise AssertionError(f"the font has no {table}")


@pytest.mark.parametrize("table", TABLES)
def test_a_damaged_table_is_named_or_read(table: str, tmp_path: Path) -> None:
    font = small_font(tmp_path / "small.ttf").read_bytes()
    for number, damage in enumerate(DAMAGES.values()):
        path = tmp_path / f"{number}.ttf"
        path.write_bytes(damaged(font, table, damage))
        try:
            assert subsets({"A": Face(path)})
        except SeedStoryError as error:
            assert str(path) in str(error)


def test_letters_whose_outlines_are_damaged_are_refused_or_drawn(tmp_path: Path) -> None:
    font = small_font(tmp_path / "small.ttf").read_bytes()
    refused = 0
    for at in range(20):  # bytes of the table that says where outlines lie
        path = tmp_path / f"{at}.ttf"
        damage = lambda table, at=at: table[:at] + b"\x01" + table[at + 1 :]  # noqa: E731
        path.write_bytes(damaged(font, "loca", damage))
        setter = Setter({"A": Face(path)}, 20)
        sheet = ImageDraw.Draw(Image.new("RGB", (80, 40)))
        for letters in ("A", "AA"):
            try:
                setter.draw(sheet, 2, 30, letters, "black")
                setter.width(letters)
            except SeedStoryError as error:
                refused += 1
                assert str(path) in str(error)
    assert refused


def map_of_groups(count: int, last: int) -> bytes:
    """A cmap of format 12 that names the same characters ``count`` times."""
    groups = b"".join(struct.pack(">III", 0x20, last, 1) for _ in range(count))
    body = struct.pack(">HHIII", 12, 0, 16 + len(groups), 0, count) + groups
    return struct.pack(">HHHHI", 0, 1, 3, 10, 12) + body


def map_of_segments(count: int, last: int) -> bytes:
    """The same in format 4."""
    lasts, firsts = [*[last] * count, 0xFFFF], [*[0x20] * count, 0xFFFF]
    size = count + 1
    words = [*lasts, 0, *firsts, *[1] * size, *[0] * size]
    head = struct.pack(">7H", 4, 14 + 2 * len(words), 0, 2 * size, 0, 0, 0)
    body = head + struct.pack(f">{len(words)}H", *words)
    return struct.pack(">HHHHI", 0, 1, 3, 1, 12) + body


@pytest.mark.parametrize(
    ("made", "once", "often"), [(map_of_groups, 0x2FFFF, 60), (map_of_segments, 0xFFF0, 200)]
)
def test_a_map_that_names_all_letters_over_and_over_is_no_font(
    made: Callable[[int, int], bytes], once: int, often: int, tmp_path: Path
) -> None:
    for count, sound in ((1, True), (often, False)):
        path = small_font(tmp_path / f"{count}.ttf")
        font = TTFont(path)
        font["cmap"] = table = DefaultTable("cmap")
        table.data = made(count, once)
        font.save(path)
        assert any(face_ranges(path)) == sound
        if not sound:
            with pytest.raises(SeedStoryError, match="not a font"):
                Fonts(chosen=path).choose("A")


@pytest.mark.parametrize("ending", [".pdf", ".epub", ".html"])
def test_a_book_in_a_damaged_font_is_whole_or_refused(
    ending: str,
    make: Callable[..., Story],
    small: Callable[..., BookSettings],
    tmp_path: Path,
) -> None:
    font = small_font(tmp_path / "small.ttf")
    target = tmp_path / f"book{ending}"
    assert press(make("A fox."), target, small(font=font)).is_file()
    refused = 0
    for table in ("loca", "head", "maxp", "hhea"):
        target.unlink(missing_ok=True)
        broken = tmp_path / f"broken-{table}.ttf"
        broken.write_bytes(damaged(font.read_bytes(), table, DAMAGES["ones"]))
        try:
            press(make("A fox."), target, small(font=broken))
        except SeedStoryError as error:
            refused += 1
            assert f"broken-{table}.ttf" in str(error) and not target.exists()
    assert refused
