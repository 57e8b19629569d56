"""Balloons: found by rule, read from data, kept on their picture."""

from __future__ import annotations

import json

import pytest

from seedstory_core.book.fonts import Fonts
from seedstory_core.errors import SeedStoryError
from seedstory_core.press.balloons import KINDS, Balloon, found_in, read_balloons
from seedstory_core.press.bubbles import place
from seedstory_core.press.sheets import Rect, Shape, Typesetter, Words


@pytest.mark.parametrize(
    ("caption", "rest", "said"),
    [
        ("The fox slept.", "The fox slept.", []),
        ("\u201cCome in,\u201d said the hen.", "", [("Come in", "speech")]),
        (
            'He opened the old green door. "Come in!" CRASH!',
            "He opened the old green door. \u2026 CRASH!",
            [("Come in!", "speech"), ("CRASH!", "sound")],
        ),
        ("\u300c\u4eca\u591c\uff1f\u300d", "", [("\u4eca\u591c\uff1f", "speech")]),
        ("\u00abOui\u00bb, dit le renard.", "", [("Oui", "speech")]),
        ('"HELP!"', "", [("HELP!", "shout")]),
        ('He has a 5" nail and no more words here', 'He has a 5" nail and no more words here', []),
        ('""', '""', []),
    ],
)
def test_rules(caption: str, rest: str, said: list[tuple[str, str]]) -> None:
    kept, balloons = found_in(3, caption)
    assert kept == rest
    assert [(balloon.text, balloon.kind) for balloon in balloons] == said
    assert all(balloon.panel == 3 for balloon in balloons)


def test_long_speech_stays_in_the_caption() -> None:
    caption = '"' + "word " * 200 + '"'
    assert found_in(0, caption) == (caption, [])


def test_balloons_as_data() -> None:
    given = [{"panel": 2, "text": "Hi", "kind": "thought", "at": [0.5, 0.1], "tail": [1, 1]}]
    assert read_balloons(json.dumps(given)) == (
        Balloon(2, "Hi", "thought", (0.5, 0.1), 0.0, (1, 1)),
    )
    assert read_balloons(" ") == ()


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[",
        "[3]",
        '[{"panel": 1}]',
        '[{"panel": "1", "text": "x"}]',
        '[{"panel": true, "text": "x"}]',
        '[{"panel": 1, "text": ""}]',
        '[{"panel": 1, "text": "x", "kind": "oval"}]',
        '[{"panel": 1, "text": "x", "at": [2, 0]}]',
        '[{"panel": 1, "text": "x", "at": [0.1]}]',
        '[{"panel": 1, "text": "x", "at": ["a", 0]}]',
        '[{"panel": 1, "text": "x", "width": 7}]',
        '[{"panel": 1, "text": "x", "width": NaN}]',
        '[{"panel": 1, "text": "x", "href": "y"}]',
        '[{"panel": 1, "text": "' + "x" * 1001 + '"}]',
        json.dumps([{"panel": 1, "text": "x"}] * 501),
    ],
    ids=range(16),
)
def test_data_that_is_none(text: str) -> None:
    with pytest.raises(SeedStoryError):
        read_balloons(text)


FRAME = Rect(100, 50, 300, 200)


def drawn(*balloons: Balloon, rtl: bool = False) -> list:
    faces = Fonts().choose("".join(balloon.text for balloon in balloons) + "\u2026")
    return place(balloons, FRAME, Typesetter(faces), 10, rtl)


def inside(x: float, y: float) -> bool:
    return FRAME.x - 1 <= x <= FRAME.right + 1 and FRAME.y - 1 <= y <= FRAME.bottom + 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [None, (0.0, 0.0), (1.0, 1.0), (0.5, 0.5)])
def test_balloons_stay_on_their_picture(kind: str, at: tuple[float, float] | None) -> None:
    text = "BANG!" if kind == "sound" else "Come in, come in, said the small fox to the hen."
    steps = drawn(Balloon(0, text, kind, at))
    words = [step for step in steps if isinstance(step, Words)]
    assert " ".join(word.text for word in words) == text
    shapes = [step for step in steps if isinstance(step, Shape)]
    assert bool(shapes) == (kind != "sound")
    assert all(inside(*point) for shape in shapes for point in shape.points)
    if kind != "sound":  # the text stands within its outline
        xs = [x for x, _ in shapes[0].points]
        assert all(min(xs) <= word.x and word.x + word.w <= max(xs) for word in words)


def test_the_first_balloon_stands_where_reading_begins() -> None:
    pair = (Balloon(0, "One"), Balloon(0, "Two"))
    for rtl in (False, True):
        first, second = (step for step in drawn(*pair, rtl=rtl) if isinstance(step, Words))
        assert (first.x > second.x) == rtl
        assert second.y > first.y


def test_the_tail_points_to_its_aim() -> None:
    shape = next(step for step in drawn(Balloon(0, "Hi", at=(0.2, 0.2), tail=(0.9, 0.9))) if True)
    tip = shape.points[-1]
    assert tip[0] > FRAME.x + 0.35 * FRAME.w and tip[1] > FRAME.y + 0.35 * FRAME.h


def test_a_very_long_balloon_shrinks_until_it_fits() -> None:
    steps = drawn(Balloon(0, "word " * 60))
    words = [step for step in steps if isinstance(step, Words)]
    assert "".join(word.text for word in words).count("word") == 60
    assert words[0].size < 10
