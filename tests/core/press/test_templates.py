"""Templates as data, paper, and settings: what is taken, and what each mistake is told."""

from __future__ import annotations

import json

import pytest

from seedstory_core.errors import SeedStoryError
from seedstory_core.press.paper import POINTS, Paper, trim_size
from seedstory_core.press.settings import BookSettings, book_settings
from seedstory_core.press.templates import TEMPLATES, Template, cells, find_template


def test_cells_come_in_reading_order() -> None:
    assert cells(("aab", "ccb")) == [(0, 0, 2, 1), (2, 0, 3, 2), (0, 1, 2, 2)]
    assert cells((".b", "a.")) == [(0, 1, 1, 2), (1, 0, 2, 1)]


@pytest.mark.parametrize(
    ("areas", "words"),
    [
        (("ab", "b"), "differ in length"),
        (("ab", "ba"), "no rectangle"),
        (("aXb",), "letters a to z"),
        (("..",), "letters a to z"),
        (("a" * 13,), "1 to 12"),
        ((), "1 to 12"),
    ],
)
def test_grids_that_are_none(areas: tuple[str, ...], words: str) -> None:
    with pytest.raises(SeedStoryError, match=words):
        cells(areas)


def test_a_template_of_ones_own() -> None:
    own = find_template('{"pages": [["aab", "ccb"], ["a"]], "columns": [1, 2, 1], "cover": true}')
    assert own == Template((("aab", "ccb"), ("a",)), columns=(1.0, 2.0, 1.0), cover=True)
    assert TEMPLATES["manga"].reading == "rtl" and TEMPLATES["picture book"].bleed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "valid JSON"),
        ("{" + "[" * 100_000, "at most"),
        ("{" + '"a":{' * 2000 + "}" * 2001, "64 deep"),
        ('{"pages": [["a"]], "rows": "x"}', "'rows' cannot be"),
        ('{"pages": 3}', "'pages' cannot be"),
        ('{"pages": [[1]]}', "'pages' cannot be"),
        ('{"pages": [[]]}', "'pages' cannot be"),
        ('{"pages": []}', "1 to 64 pages"),
        ('{"colour": "red"}', "colour"),
        ('{"caption": "above"}', "below, inside, facing, none"),
        ('{"pages": [["ab"]], "caption": "facing"}', "one panel a page"),
        ('{"gutter": 1e9}', "0 to 100"),
        ('{"gutter": true}', "'gutter' cannot be"),
        ('{"columns": [0]}', "relative sizes"),
        ('{"text": 400}', "5 to 72"),
        ("no such", "Choose one of single"),
    ],
    ids=range(16),
)
def test_templates_that_are_none(text: str, words: str) -> None:
    with pytest.raises(SeedStoryError, match=words):
        find_template(text)


def test_every_shipped_template_survives_json() -> None:
    for template in TEMPLATES.values():
        again = find_template(json.dumps(vars(template)))
        assert again == template
        trim_size(template.trim)


def test_trim_sizes_by_name_and_by_measure() -> None:
    assert trim_size("A5") == (148, 210)
    assert trim_size("6 x 9 in") == (6 * 25.4, 9 * 25.4)
    assert trim_size("148\u00d7210mm") == trim_size("148x210") == (148, 210)
    for wrong in ("A99", "-3 x 4", "1e9 x 2", "", "6 x 9 cm"):
        with pytest.raises(SeedStoryError, match="no trim size"):
            trim_size(wrong)


def test_paper_counts_pixels_with_the_bleed() -> None:
    assert Paper(210, 297, dpi=300).pixels == (2480, 3508)
    assert Paper(100, 100, bleed=3, dpi=254).pixels == (1060, 1060)
    assert Paper(25.4 * 5, 25.4 * 5).trim == pytest.approx((360, 360))
    assert Paper(100, 100, margin=10).border == 10 * POINTS


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 5},
        {"height": 9e9},
        {"width": float("nan")},
        {"bleed": -1},
        {"bleed": 400},
        {"margin": 60},
        {"dpi": 1},
        {"width": 1500, "height": 1500, "dpi": 1200},
    ],
    ids=str,
)
def test_paper_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(SeedStoryError):
        Paper(**{"width": 100, "height": 100, **wrong})  # type: ignore[arg-type]


def test_settings_take_the_templates_own_paper() -> None:
    assert book_settings("manga").paper.width == 128
    assert book_settings("manga", "A4", bleed=3, dpi=300).paper == Paper(210, 297, 3, 0, 300)
    with pytest.raises(SeedStoryError, match="language tag"):
        BookSettings(language='en"><script>')
    with pytest.raises(SeedStoryError, match="300 characters"):
        BookSettings(title="x" * 301)
