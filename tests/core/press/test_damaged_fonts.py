"""Fonts that are damaged in any table end in a sentence, in every format that embeds them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image, ImageDraw

from seedstory_core.book.fonts import Face
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
