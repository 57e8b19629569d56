"""Laying out: every word and picture of a story is on its pages, in order, within the paper."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from seedstory_core.book.fonts import Fonts
from seedstory_core.errors import SeedStoryError
from seedstory_core.press.balloons import Balloon
from seedstory_core.press.language import language_of
from seedstory_core.press.layout import lay_out
from seedstory_core.press.settings import BookSettings
from seedstory_core.press.sheets import Book, Picture, Shape, Words
from seedstory_core.press.templates import TEMPLATES
from seedstory_core.types import Story

Make = Callable[..., Story]
Small = Callable[..., BookSettings]


def text_of(book: Book, first: int = 0) -> str:
    """All text in the order it is drawn, without page numbers and ellipses."""
    lines = [
        step.text
        for sheet in book.sheets[first:]
        for step in sheet.steps
        if isinstance(step, Words) and step.text != str(sheet.number)
    ]
    return re.sub(r"[\u2026\s]+", "", "".join(lines))


def squeezed(*texts: str) -> str:
    return re.sub(r"[\u2026\s]+", "", "".join(texts))


@pytest.mark.parametrize("name", list(TEMPLATES))
@pytest.mark.parametrize("length", [3, 60])
def test_no_word_is_lost(name: str, length: int, make: Make, small: Small) -> None:
    captions = [f"P{n} " + " ".join(f"w{n}x{i}" for i in range(length)) for n in range(6)]
    book = lay_out(make(*captions, closing="The end."), small(name))
    shown = text_of(book, first=1)
    for caption in captions:
        for word in caption.split():
            assert word in shown, word
    assert len(shown) == len(squeezed(*captions, "The end."))
    pictures = [s.panel for sheet in book.sheets[1:] for s in sheet.steps if isinstance(s, Picture)]
    assert pictures == list(range(6))


def test_ten_thousand_words_go_on_over_pages(make: Make, small: Small) -> None:
    caption = " ".join(f"word{number}" for number in range(10_000))
    book = lay_out(make(caption), small(title_page=False, page_numbers=False))
    assert text_of(book) == squeezed(caption)
    assert 10 < len(book.sheets) < 500


@pytest.mark.parametrize("name", list(TEMPLATES))
def test_nothing_leaves_the_paper(name: str, make: Make, small: Small) -> None:
    settings = small(name, bleed=3, quotes=True)
    book = lay_out(make(*['He said "Hello there, old friend" and slept. ' * 3] * 5), settings)
    (width, height), over = book.paper.trim, book.paper.over + 0.01
    for step in (step for sheet in book.sheets for step in sheet.steps):
        if isinstance(step, Words):
            assert 0 <= step.x and step.x + step.w <= width + 0.5, step
            assert 0 <= step.y <= height, step
        elif isinstance(step, Picture):
            frame = step.frame
            assert -over <= frame.x and frame.right <= width + over
            assert -over <= frame.y and frame.bottom <= height + over
            assert step.whole.w >= frame.w - 0.01 and step.whole.h >= frame.h - 0.01


def test_manga_is_read_from_the_right(make: Make, small: Small) -> None:
    book = lay_out(make(*"abcde"), small("manga", title_page=False))
    first, second, *_ = [step for step in book.sheets[0].steps if isinstance(step, Picture)]
    assert (first.panel, second.panel) == (0, 1)
    assert first.frame.x > second.frame.x and first.frame.y == second.frame.y


@pytest.mark.parametrize("title", [True, False])
@pytest.mark.parametrize("caption", ["Short.", "", "A long tale. " * 400])
def test_a_picture_book_opens_on_text_and_picture(
    title: bool, caption: str, make: Make, small: Small
) -> None:
    settings = small("picture book", title_page=title, bleed=3)
    book = lay_out(make(caption, "Second.", caption), settings)
    plates = [number for number, sheet in enumerate(book.sheets) if sheet.panels]
    assert len(plates) == 3 and all(number % 2 == 0 for number in plates)  # right-hand pages
    assert any(isinstance(step, Words) for step in book.sheets[plates[1] - 1].steps)
    frame = next(s for s in book.sheets[plates[0]].steps if isinstance(s, Picture)).frame
    over = book.paper.over
    assert (frame.x, frame.y) == (-over, -over) and frame.w == book.paper.trim[0] + 2 * over


def test_panels_that_wait_for_a_picture_have_their_place(make: Make, small: Small) -> None:
    whole = lay_out(make("a", "b", "c"), small("grid 2x2"))
    half = lay_out(make("a", "b", "c", blank=(1,)), small("grid 2x2"))
    places = [[s.y for s in b.sheets[1].steps if isinstance(s, Words)] for b in (whole, half)]
    assert places[0] == places[1]
    assert sum(isinstance(step, Shape) for step in half.sheets[1].steps) == 1
    assert lay_out(make("a", blank=(0,)), small()).sheets


def test_a_thousand_panels(make: Make, small: Small) -> None:
    book = lay_out(make(*map(str, range(1000))), small("grid 2x2"))
    assert len(book.sheets) == 251
    assert [panel for sheet in book.sheets for panel in sheet.panels] == list(range(1000))


def test_page_numbers_and_title(make: Make, small: Small) -> None:
    settings = small(title="The <b>Fox</b>", author="A. Nonym", notice="It babbles.")
    book = lay_out(make("one", "two"), settings)
    assert text_of(book)[: len("The<b>Fox</b>")] == "The<b>Fox</b>"
    first = [step.text for step in book.sheets[0].steps if isinstance(step, Words)]
    assert "A. Nonym" in first and "It babbles." in first and "1" not in first
    numbers = [sheet.steps[-1].text for sheet in book.sheets[1:]]  # type: ignore[union-attr]
    assert numbers == ["2", "3"]
    bare = lay_out(make("one"), small(title_page=False, page_numbers=False, notice="It babbles."))
    assert text_of(bare) == "Itbabbles.one"


def test_the_title_defaults_to_the_run(make: Make, small: Small) -> None:
    assert lay_out(make("one"), small()).title == "A run"
    assert lay_out(replace(make("one"), run="\x00"), small()).title == "Story"


def test_control_characters_and_emoji_do_no_harm(make: Make, small: Small) -> None:
    nasty = (
        "a\x00b\x1b[31m\u202e c\ufeff\u200b \U0001f469\u200d\U0001f467 \U0010ffff end\r\n\n\nnext"
    )
    shown = text_of(lay_out(make(nasty), small(title_page=False)))
    assert "\x00" not in shown and shown.startswith("ab[31m") and shown.endswith("next")


def test_missing_letters_name_the_script(
    make: Make, small: Small, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("seedstory_core.book.fonts.system_folders", lambda: [])
    fonts = Fonts((tmp_path,))
    for text, script in (("\u72d0", "Han"), ("\u0645\u0631", "Arabic"), ("\u0e2a", "Thai")):
        for settings in (small(), small(balloons=(Balloon(0, text),)), small(title=text)):
            caption = text if not settings.balloons and not settings.title else "plain"
            with pytest.raises(SeedStoryError, match=script) as error:
                lay_out(make(caption), settings, fonts)
            assert str(tmp_path) in str(error.value)


def test_balloons_for_nobody_are_refused(make: Make, small: Small) -> None:
    for panel in (-1, 2, 10**9):
        with pytest.raises(SeedStoryError, match="panels 0 to 1"):
            lay_out(make("a", "b"), small(balloons=(Balloon(panel, "x"),)))
    with pytest.raises(SeedStoryError, match="no panel yet"):
        lay_out(make(), small())


def test_layout_can_be_cancelled(make: Make, small: Small) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, total: int, note: str = "") -> None:
        raise Stop

    with pytest.raises(Stop):
        lay_out(make("a"), small(), progress=stop)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("The fox", "en"),
        ("\u72d0\u72f8\u3068", "ja"),
        ("\u72d0\u72f8", "zh"),
        ("\u0645\u0631\u062d\u0628\u0627", "ar"),
        ("123 !", "en"),
        ("", "en"),
    ],
)
def test_the_language_follows_the_script(text: str, tag: str) -> None:
    assert language_of(text) == tag


def test_short_texts_in_the_middle_have_lines_of_like_length(make: Make, small: Small) -> None:
    caption = "Fenn finds a book, and he hops around the book."
    book = lay_out(make(caption, "Night falls."), small("picture book", "square"))
    sheet = next(s for s in book.sheets if any(_says(step, "Fenn finds") for step in s.steps))
    lines = [step for step in sheet.steps if isinstance(step, Words) and step.size > 12]
    assert len(lines) > 1
    assert min(step.w for step in lines) > 0.6 * max(step.w for step in lines)
    assert " ".join(step.text for step in lines) == caption


def _says(step: object, text: str) -> bool:
    return isinstance(step, Words) and text in step.text
