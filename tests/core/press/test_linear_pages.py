"""Captions of any length and making become pages, balloons and subtitles in time that grows with
them, and lines are the ones that a plain search finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.adversarial import ATOMS, check_below, check_linear, repeated, texts

from seedstory_core.book import html
from seedstory_core.book.fonts import SHIPPED, Face
from seedstory_core.book.letters import MOST_MARKS, printable
from seedstory_core.book.text import Setter, most_that, right_to_left, units
from seedstory_core.press import svg
from seedstory_core.press.balloons import MAX_FOUND, found_in, read_balloons
from seedstory_core.press.language import language_of
from seedstory_core.press.layout import lay_out
from seedstory_core.press.paper import trim_size
from seedstory_core.press.settings import book_settings
from seedstory_core.press.sheets import Words
from seedstory_core.press.subtitles import cues, srt, vtt
from seedstory_core.press.templates import find_template
from seedstory_core.types import Panel, Story, WorldRef

calm = settings(
    max_examples=15,
    deadline=None,  # time is what the test itself measures, in CPU time
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def tale(caption: str) -> Story:
    image = torch.zeros(8, 8, 3).byte()
    return Story((Panel(caption, caption, "told", image=image),), "toy", WorldRef("w", "d"), "run")


class Every(dict):
    """The shipped font for every character."""

    def __missing__(self, char: str) -> Face:
        return Face(SHIPPED)

    def get(self, char: str, _default: Face | None = None) -> Face:
        return Face(SHIPPED)

    def __contains__(self, _char: object) -> bool:
        return True


SETTER = Setter(Every({" ": Face(SHIPPED)}), 20)
ACTS: dict[str, Callable[[str], object]] = {
    "printable": lambda text: printable(text, len(text)),
    "units": lambda text: list(units(text)),
    "right to left": right_to_left,
    "visible": SETTER.visible,
    "wrap": lambda text: SETTER.wrap(printable(text), 400, len(text) + 1),
    "wrap, cut": lambda text: SETTER.wrap(printable(text), 400, 3),
    "balloons of rules": lambda text: found_in(0, text),
    "balloons by hand": read_balloons,
    "template": find_template,
    "trim size": trim_size,
    "language": language_of,
    "subtitles": lambda text: (srt(cues(tale(text))), vtt(cues(tale(text)))),
    "escaped": lambda text: (svg.clean(text), html._clean(text)),
}


@pytest.mark.parametrize("name", ACTS)
@calm
@given(make=texts())
def test_the_time_grows_with_the_text(name: str, make: Callable[[int], str]) -> None:
    check_linear(ACTS[name], make, letters=4_000)


#: Letters without a width never fill a line; letters without a blank are one word.
WORDS = ("x", "a" + "\u0301" * 40, "\u2060", "\u201c", '"a" ')


@pytest.mark.parametrize("template", ["single", "picture book"])
@pytest.mark.parametrize("word", WORDS, ids=range(len(WORDS)))
def test_the_time_to_lay_out_grows_with_the_caption(word: str, template: str) -> None:
    looks = book_settings(template, quotes=True)
    check_linear(lambda text: lay_out(tale(text), looks), repeated("", [word], "."), 4_000)


def test_marks_on_one_letter_are_few() -> None:
    """Python's own composing takes hours for these."""
    check_below(2.0, lambda text: printable(text, len(text)), "a" + "\u0323\u0301" * 200_000)
    assert len(printable("a" + "\u0301" * 500)) == MOST_MARKS  # the first is part of its letter
    for usual in ("caf\u00e9", "\u0e01\u0e49\u0e33", "a\u0323\u0302\u0301"):
        assert printable(usual) == printable(printable(usual)) and len(printable(usual)) >= 1


def test_a_picture_gets_no_more_balloons_than_it_has_room_for() -> None:
    kept, balloons = found_in(0, '"One." ' * 40 + "BANG! " * 40)
    assert len(balloons) == MAX_FOUND and kept.count('"One."') == 40 - MAX_FOUND
    kept, balloons = found_in(0, "The door fell. " + "BANG! " * 40 + "A" * 400 + "!")
    assert len(balloons) == MAX_FOUND and all(b.text == "BANG!" for b in balloons)


# ---- the same lines as by trying every letter


@dataclass(frozen=True)
class Counted(Setter):
    """Letters as wide as their number; marks have no width."""

    def width(self, line: str) -> float:
        return sum(0 if char in "\u0301\u2060" else 2 if char == "W" else 1 for char in line)


def plain_lines(text: str, width: float, measure: Callable[[str], float]) -> Iterator[str]:
    """What `Setter.wrap` does, letter by letter: slow, and plain to see."""
    for paragraph in text.split("\n"):
        line = ""
        for piece in units(paragraph):
            if line and measure((line + piece).rstrip()) > width:
                yield line.rstrip()
                line = ""
            if measure(piece.rstrip()) > width:
                part = ""
                for char in piece:
                    if part and char != "\u0301" and measure(part + char) > width:
                        yield part
                        part = ""
                    part += char
                piece = part
            line += piece
        yield line.rstrip()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(text=st.text(alphabet="ab W-\u0301\u2060\u4f60(\n", max_size=60), width=st.integers(1, 12))
def test_lines_are_those_of_a_plain_search(text: str, width: int) -> None:
    setter = Counted({}, 1)
    wanted = list(plain_lines(text, width, setter.width))
    assert setter.wrap(text, width, 1000) == wanted


@given(answer=st.integers(0, 5000))
@settings(deadline=None, derandomize=True)
def test_the_most_that_fits_is_found_with_few_questions(answer: int) -> None:
    asked: list[int] = []

    def fits(count: int) -> bool:
        asked.append(count)
        return count <= answer

    assert most_that(fits) == answer
    assert len(asked) <= 2 * answer.bit_length() + 2 and max(asked) <= 2 * answer + 1


@pytest.mark.parametrize("word", ["fox ", "reynard-the-fox", "x", "\u0436"])
@pytest.mark.parametrize("template", ["single", "picture book"])
def test_no_letter_of_a_long_caption_is_lost(template: str, word: str) -> None:
    caption = "".join(f"{word}{n}" for n in range(1000))
    looks = book_settings(template, title_page=False, page_numbers=False)
    steps = [step for sheet in lay_out(tale(caption), looks).sheets for step in sheet.steps]
    printed = "".join(step.text for step in steps if isinstance(step, Words))
    assert "".join(printed.replace("\u2026", "").split()) == caption.replace(" ", "")


@pytest.mark.parametrize("atom", ATOMS)
def test_odd_captions_are_printable_once_and_for_all(atom: str) -> None:
    once = printable(atom * 50)
    assert printable(once) == once
