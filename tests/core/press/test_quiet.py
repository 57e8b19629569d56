"""What a book says about itself: nothing in the log, and what it leaves out in a sentence."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from seedstory_core.book.fonts import Fonts
from seedstory_core.press.extras import need
from seedstory_core.press.formats import BOOKS, press
from seedstory_core.press.layout import left_out
from seedstory_core.press.settings import book_settings
from seedstory_core.types import Panel, Story, WorldRef

NEWEST = "\U0010fffd"  # private; and so are letters that this Python's Unicode does not know yet


def tale(*captions: str, run: str = "run") -> Story:
    image = torch.full((8, 8, 3), 99, dtype=torch.uint8)
    panels = tuple(Panel(text, text, "told", image=image) for text in captions)
    return Story(panels, "toy", WorldRef("w", "d"), run)


@pytest.fixture()
def few_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the shipped font, whatever this system has."""
    monkeypatch.setattr("seedstory_core.book.fonts.system_folders", list)


@pytest.mark.parametrize("ending", [*BOOKS, ".png"])
def test_no_library_fills_the_log(
    ending: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("fpdf", reason="not found: fpdf2 (pip install fpdf2)")
    with caplog.at_level(logging.INFO):
        press(tale("A fox.", "\u041b\u0438\u0441\u0430."), tmp_path / f"book{ending}")
    lines = [f"{r.name}: {r.message}" for r in caplog.records if "seedstory_core" not in r.name]
    assert lines == []


def test_who_wants_the_font_librarys_words_has_them() -> None:
    pytest.importorskip("fontTools", reason="not found: fontTools (pip install fonttools)")
    logger = logging.getLogger("fontTools")
    before = logger.level
    try:
        logger.setLevel(logging.DEBUG)
        need("fontTools.subset")
        assert logger.level == logging.DEBUG
        logger.setLevel(logging.NOTSET)
        need("fontTools.subset")
        assert logger.level == logging.WARNING
    finally:
        logger.setLevel(before)


@pytest.mark.parametrize(
    ("caption", "said"),
    [
        ("A fox.", []),
        ("A fox \U0001f98a runs.", ["\U0001f98a (U+1F98A)"]),
        (f"{NEWEST} fox", ["U+10FFFD"]),
        ("A family \U0001f469\u200d\U0001f467\ufe0f.", ["U+1F469", "U+1F467"]),
        ("caf\u00e9 cafe\u0301 \u200b\u00ad\ufeff\u2028\x07", []),
    ],
    ids=range(5),
)
@pytest.mark.usefixtures("few_fonts")
def test_what_no_font_has_is_said(caption: str, said: list[str]) -> None:
    sentence = left_out(tale("A hen.", caption))
    assert bool(sentence) == bool(said)
    assert all(word in sentence for word in said), sentence
    assert not any(code in sentence for code in ("200D", "FE0F", "200B", "0301")), sentence


@pytest.mark.usefixtures("few_fonts")
def test_every_text_of_a_book_is_looked_through() -> None:
    fox = "Reynard \U0001f98a"
    story, found = tale("A hen."), []
    found.append(left_out(story, book_settings("single", title=fox)))
    found.append(left_out(story, book_settings("single", author=fox)))
    found.append(left_out(story, book_settings("single", notice=fox)))
    found.append(left_out(tale("A hen.", run=fox)))
    assert all("U+1F98A" in sentence for sentence in found)
    assert left_out(tale("A hen.", run=fox), book_settings("single", title="Hen")) == ""


@pytest.mark.usefixtures("few_fonts")
def test_many_lacking_letters_are_one_short_sentence(tmp_path: Path) -> None:
    faces = "".join(map(chr, range(0x1F600, 0x1F640)))
    sentence = left_out(tale(faces), fonts=Fonts(folders=(tmp_path,)))
    assert "and 56 more" in sentence and str(tmp_path) in sentence and len(sentence) < 500
