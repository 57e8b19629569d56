"""Scripts and casts are read in time that grows with the text, and as simple patterns read them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.adversarial import ATOMS, check_below, check_linear, repeated, texts

from seedstory_core.author import FORMATS, Card, introduced, read_script
from seedstory_core.author.casting import MOST_LETTERS, WHEN
from seedstory_core.author.mentions import Names
from seedstory_core.author.scripts import AUTO, MAX_BYTES, MAX_LINES
from seedstory_core.errors import SeedStoryError

calm = settings(
    max_examples=25,
    deadline=None,  # time is what the test itself measures, in CPU time
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize("form", [AUTO, *FORMATS])
@calm
@given(make=texts())
def test_the_time_grows_with_the_script(form: str, make: Callable[[int], str]) -> None:
    check_linear(lambda text: read_script(text, form), make)


@pytest.mark.parametrize("head", ["", "# a", "# a\n", "```"])
def test_the_time_grows_with_every_single_repetition(head: str) -> None:
    for atom in ATOMS:
        check_linear(read_script, repeated(head, [atom], "b"))


LARGEST = {
    "words": "word " * 799 + "\n",
    "short lines": "a\n" * 9_999,
    "marks": "- a b c d e f\n" * 9_999,
    "headings": ("# a\n\n" + "word " * 70 + "\n\n") * 9_999,
    "comments": "# a\nb\n" + "<!--x-->" * 520_000,
    "open comments": "# a\nb\n" + "<!--" * 1_000_000,
    "fences": "```\n- a\n```\n" * 60_000,
    "brackets": "[" * MAX_BYTES,
    "empty captions": "[" + '"",' * 1_000_000 + '""]',
    "digits": "[" + "1" * (MAX_BYTES - 2) + "]",
    "newlines": "\n" * MAX_BYTES,
    "joined": "\u0301\u0323" * 1_999 + "\n",
}


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_script_takes_moments(name: str) -> None:
    once = LARGEST[name]
    text = (once * (MAX_BYTES // len(once) or 1))[:MAX_BYTES]

    # A tenth to half a second on a slow machine; the bound is what a server can wait.
    check_below(2.0, read_script, text)


def test_a_script_of_very_many_lines_is_refused() -> None:
    with pytest.raises(SeedStoryError, match=rf"at most {MAX_LINES} lines, got {MAX_LINES + 2}"):
        read_script("a\n" + "\n" * MAX_LINES + "b")


# ---- the same as the patterns that were there before, which were slow but right

HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
FENCE = re.compile(r"```[a-zA-Z]*[^\S\n]*\n(.*?)\n?\s*```", re.DOTALL)
pieces = st.lists(st.sampled_from(("#", "# ", " ", "a", "b", "\n", "<!--", "-->", "-", ">", "```")))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(parts=pieces)
def test_headings_and_comments_are_those_of_the_patterns(parts: list[str]) -> None:
    text = "".join(parts)
    told, rest = [], []
    for line in COMMENT.sub("", text).splitlines():
        match = HEADING.fullmatch(line.strip())
        if match:
            told.append((len(match[1]), match[2], rest := []))
        else:
            rest.append(line)
    title = ""
    if len(told) > 1 and told[0][0] < min(level for level, _, _ in told[1:]):
        title = told.pop(0)[1]
    wanted = [(h, c) for h, c in ((h, " ".join(" ".join(b).split())) for _, h, b in told) if c]
    try:
        script = read_script(text, "markdown")
    except SeedStoryError:
        assert not wanted
        return
    assert list(zip(script.headings, script.captions, strict=True)) == [
        (" ".join(h.split()), c) for h, c in wanted
    ]
    assert script.title == " ".join(title.split())


@pytest.mark.parametrize(
    ("text", "captions"),
    [
        ("```\n- One.\n```", ("One.",)),
        ("Here:\n```text\n1. One.\n2. Two.\n```\nEnjoy", ("One.", "Two.")),
        ("It is ```json\n- One.\n  ```", ("One.",)),
        ("```\n- One.\n```\nand\n```\n- Two.\n```", ("One.", "Two.")),
        ("```\n- One.\n", ("One.",)),
        ("- One ```\n- Two", ("One ```", "Two")),
        ("````\n- One.\n```", ("One.",)),
    ],
)
def test_answers_are_taken_out_of_their_fences(text: str, captions: tuple[str, ...]) -> None:
    assert read_script(text, "list").captions == captions


def test_several_json_answers_are_one_script() -> None:
    first, second = '{"title": "", "panels": ["One."]}', '{"title": "T", "panels": []}'
    script = read_script(f"```json\n{first}\n```\nand\n```\n{second}\n```")
    assert (script.captions, script.title) == (("One.",), "T")
    with pytest.raises(SeedStoryError, match="Panel 2 of the script is 7"):
        read_script('```\n["One."]\n```\n```\n[7]\n```', "json")


# ---- names

words = st.text(alphabet="ab '\u2019s.!-\u4f60_", max_size=30)
names = st.lists(st.text(alphabet="ab '\u2019s.!-\u4f60_", min_size=1, max_size=4), max_size=6)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=words, wanted=names)
def test_names_are_found_where_a_pattern_finds_them(text: str, wanted: list[str]) -> None:
    found = Names(wanted).first_places(text)
    for name in wanted:
        match = re.search(rf"(?<!\w){re.escape(name)}(?!\w|['\u2019]s\b)", text)
        assert found.get(name) == (match.span() if match else None), name


MANY = [Card(f"Mila {n}", "a girl in red") for n in range(300)]
MANY += [Card("!" * n + "x", "loud") for n in range(1, 60)]


@calm
@given(make=texts(), when=st.sampled_from(WHEN))
def test_the_time_grows_with_the_captions_that_are_cast(
    make: Callable[[int], str], when: str
) -> None:
    check_linear(lambda text: introduced([text], MANY, when), make)


def test_a_thousand_characters_are_looked_for_in_one_pass() -> None:
    cards = [Card(f"name{n}", "a girl in red") for n in range(1000)]
    # Half a second; a pattern for each of them took a minute.
    check_below(5.0, lambda text: introduced([text] * 500, cards), "Mila ran to the wood. " * 150)


def test_a_caption_that_looks_make_endless_is_refused() -> None:
    cards = [Card(f"n{n}", "x" * 400) for n in range(100)]
    caption = " ".join(card.name for card in cards)
    with pytest.raises(
        SeedStoryError, match=rf"Caption 2 .* 100 characters; at most {MOST_LETTERS}"
    ):
        introduced(["A fox.", caption], cards, "every panel")
