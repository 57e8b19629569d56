"""Everything else that takes texts of strangers or models: time grows with the text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.adversarial import check_below, check_linear, repeated, texts
from support.source import ROOT

from seedstory_core.author import Card
from seedstory_core.engines.seed_story import prompt
from seedstory_core.engines.seed_story.tokenizer import Tokenizer
from seedstory_core.errors import SeedStoryError
from seedstory_core.operations.selection import panel_selection
from seedstory_core.operations.takes import fresh_words
from seedstory_core.picture_world.reading import CaptionReader
from seedstory_core.press.balloons import read_balloons
from seedstory_core.press.templates import find_template
from seedstory_core.story import check_caption
from seedstory_core.story_store import safe_name
from seedstory_core.types import Panel, Story, WorldRef

TOKENIZER = Tokenizer.from_folder(ROOT / "worlds" / "picture-world" / "tokenizer")
STORY = Story((Panel("A fox.", "A fox.", "opening"),), "toy", WorldRef("w", "d"), "run")
ACTS: dict[str, Callable[[str], object]] = {
    "what a model said, cleaned": prompt.clean,
    "what a model said, shown": prompt.display,
    "token ids": TOKENIZER.encode,
    "a caption read back": lambda text: CaptionReader().read(text),
    "new words": lambda text: fresh_words(STORY, Panel(text, text, "told")),
    "panels by number": lambda text: panel_selection(STORY, text),
    "a caption's letters": lambda text: check_caption(text, "caption"),
    "a folder's name": safe_name,
    "a character": lambda text: Card("Mila", text),
}


@pytest.mark.parametrize("name", ACTS)
@settings(
    max_examples=25,
    deadline=None,  # time is what the test itself measures, in CPU time
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(make=texts())
def test_the_time_grows_with_the_text(name: str, make: Callable[[int], str]) -> None:
    check_linear(ACTS[name], make, letters=8_000)


@pytest.mark.parametrize("name", ["what a model said, cleaned", "a folder's name"])
@pytest.mark.parametrize("atom", [" ", "\n", "<", " <", "<a", "\u0323\u0301", "<> "])
def test_a_megabyte_takes_moments(name: str, atom: str) -> None:
    check_below(2.0, ACTS[name], repeated("a", [atom], "")(1 << 20))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(raw=st.text(alphabet="ab <>\n\t\u3000[", max_size=40))
def test_tags_go_as_by_the_scripts_own_pattern(raw: str) -> None:
    assert prompt.clean(raw) == re.sub(r"\s*<[^>]*>\s*", " ", raw).strip()


def test_what_grows_with_the_square_is_seen() -> None:
    """Else the tests above would pass whatever they measured."""
    slow = re.compile(r"a*b")
    with pytest.raises(AssertionError, match="letters took"):
        check_linear(lambda text: slow.findall(text), repeated("", ["a"], ""), letters=12_000)


@pytest.mark.parametrize("read", [find_template, read_balloons])
@pytest.mark.parametrize("number", ["1" + "0" * 400, "1e999", "NaN", "-Infinity"])
def test_numbers_that_are_none_are_refused_in_words(
    read: Callable[[str], object], number: str
) -> None:
    text = '{"pages": [["ab"]], "gutter": %s}' if read is find_template else '[{"panel": %s}]'
    with pytest.raises(SeedStoryError, match="valid JSON"):
        read(text % number)


def test_deep_templates_are_refused_in_words() -> None:
    for text in ('{"pages": ' + "[" * 5000, json.dumps({"pages": [[[["a"]]]]})):
        with pytest.raises(SeedStoryError):
            find_template(text)
