"""Scripts as people and language models write them, and what no caption can hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seedstory_core.author import FORMATS, read_script, read_script_file
from seedstory_core.errors import SeedStoryError

CAPTIONS = ("Mila is in the meadow.", "She finds a kite: red & new!", "It flies away \U0001fa81.")
MARKDOWN = """\
Words before any heading are nobody's.

# The kite

## Panel 1: the meadow

Mila is in
the meadow.

<!-- draw
it green -->
## Panel 2
She finds a kite: red & new!
### A heading without a caption
## 3 ##
It flies away \U0001fa81.
"""
WRITTEN = {
    "lines": "\n".join(["", CAPTIONS[0], "  " + CAPTIONS[1] + "  ", "\t", CAPTIONS[2]]),
    "list": f"1. {CAPTIONS[0]}\n2) {CAPTIONS[1]}\n\n- {CAPTIONS[2]}\n",
    "markdown": MARKDOWN,
    "json": json.dumps({"title": "The kite", "panels": [
        CAPTIONS[0], {"caption": CAPTIONS[1], "heading": "Found"}, {"caption": CAPTIONS[2]},
    ]}),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("guessed", [False, True])
def test_every_format_gives_the_same_captions(form: str, guessed: bool) -> None:
    script = read_script(WRITTEN[form], "auto" if guessed else form)
    assert script.captions == CAPTIONS
    assert len(script.headings) == 3
    assert script.title == ("The kite" if form in ("markdown", "json") else "")


def test_headings_are_kept_beside_the_captions() -> None:
    assert read_script(MARKDOWN).headings == ("Panel 1: the meadow", "Panel 2", "3")
    assert read_script(WRITTEN["json"]).headings == ("", "Found", "")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('Sure! Here it is:\n```json\n["One.", "Two."]\n```\nEnjoy.', ("One.", "Two.")),
        ("Here are the panels:\n\n1. One.\n2. Two.\n", None),
        ("Panel 1: One.\nPanel 2: Two.", ("One.", "Two.")),
        ("Scene 1 - One.\nPAGE 2. Two.", ("One.", "Two.")),
        ('["One.", "Two."]', ("One.", "Two.")),
        ("# One\nFirst.\n# Two\nSecond.", ("First.", "Second.")),
        ("\ufeffOne.\r\nTwo.\r\n", ("One.", "Two.")),
        ("[He laughs.]\nTwo.", ("[He laughs.]", "Two.")),
    ],
)
def test_what_language_models_write(text: str, wanted: tuple[str, ...] | None) -> None:
    if wanted is None:  # a preamble: only `list`, asked for, leaves it out
        assert read_script(text, "list").captions == ("One.", "Two.")
        assert read_script(text).captions[0] == "Here are the panels:"
    else:
        assert read_script(text).captions == wanted


def test_lines_are_taken_word_for_word() -> None:
    odd = "1. \u201cWait\u201d \u2014 he <b>said</b> \u00a9 &amp; caf\u00e9 \u4f60\u597d \u0627"
    assert read_script(odd, "lines").captions == (odd,)


@pytest.mark.parametrize(
    ("text", "form", "message"),
    [
        ("", "auto", "has no caption"),
        (" \n\t\n", "lines", "has no caption"),
        ("# Only a title\n", "auto", "has no caption"),
        ("One.\nTwo \x07.", "auto", r"caption 2 of the script has the control character U\+0007"),
        ("One \x1b[31mred.", "auto", r"U\+001B at letter 5"),
        ("One \u202eeno.", "auto", r"U\+202E"),
        ("half \ud800", "auto", "not valid Unicode"),
        ("word " * 10_000, "auto", "Caption 1 .* has 10000 words .* at most 4000 letters"),
        ("One.\n" * 10_000, "auto", "has 10000 captions; a story has at most 9999"),
        ("x" * (5 << 20), "auto", "at most 4.0 MB"),
        ("{", "json", "not valid JSON"),
        ("[" * 100_000, "json", "not valid JSON"),
        ('{"panels": 3}', "json", "A JSON script is a list"),
        ('["One.", 2]', "json", "Panel 2 of the script is 2"),
        ('[{"text": "One."}]', "json", "Panel 1 of the script"),
        ('["One.", ""]', "json", "Caption 2 of the script is empty"),
        ("One.", "yaml", "format is one of auto, lines"),
    ],
    ids=range(17),
)
def test_what_is_no_script_is_said(text: str, form: str, message: str) -> None:
    with pytest.raises(SeedStoryError, match=message):
        read_script(text, form)


def test_a_thousand_captions_are_read() -> None:
    assert len(read_script("One.\n" * 1000).captions) == 1000


@pytest.mark.parametrize("form", ["lines", "markdown", "json"])
def test_files_say_their_format_by_their_suffix(tmp_path: Path, form: str) -> None:
    name = {"markdown": "a.md", "json": "a.JSON"}.get(form, "a.txt")
    (tmp_path / name).write_text(WRITTEN[form], encoding="utf-8")
    assert read_script_file(tmp_path / name).captions == CAPTIONS


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(SeedStoryError, match="not UTF-8 text"):
        read_script_file(tmp_path / "a.txt")
    with pytest.raises(SeedStoryError, match="no script at"):
        read_script_file(tmp_path / "b.txt")
    (tmp_path / "c.txt").write_bytes(b"x" * (5 << 20))
    with pytest.raises(SeedStoryError, match="larger than"):
        read_script_file(tmp_path / "c.txt")
