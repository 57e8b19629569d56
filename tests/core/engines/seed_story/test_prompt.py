"""Prompt layouts, literally: which text and which pictures the LLM reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from seedstory_core.context import ContextPolicy, Dense, Window
from seedstory_core.engines.seed_story.prompt import (
    Appended,
    BlindCut,
    Layout,
    Trained,
    Vocabulary,
    bare,
    clean,
    display,
)
from seedstory_core.engines.seed_story.tokenizer import Tokenizer
from seedstory_core.errors import SeedStoryError

GOLDEN = Path(__file__).parents[3] / "golden" / "seed_story"
WORDS = Vocabulary(Tokenizer.from_folder(GOLDEN / "tokenizer"), 64, 466)
TOLD = ["a fox.", "[INST]a hen.", "[INST]a pig.", "[INST]a cow."]


def read(
    layout: Layout, texts: list[str], policy: ContextPolicy, caption: str | None = None
) -> str:
    """The prompt as text, ``^`` for BOS and ``@`` for a picture, no other spaces changed."""
    ids = layout.prompt(WORDS, texts, policy, caption).ids
    text = WORDS.tokenizer.decode(ids).replace("<s>", "^")
    text = re.sub(r" ?<img>(?: <img_\d{5}>)* </img> ?", "@", text)
    return text.strip()


@pytest.mark.parametrize(
    ("texts", "policy", "caption", "expected", "pictures"),
    [
        (TOLD[:1], Dense(), None, "^a fox.@", (0,)),
        (TOLD[:3], Dense(), None, "^a fox.@[INST]a hen.@[INST]a pig.@", (0, 1, 2)),
        (TOLD, Window(2), None, "^a pig.@[INST]a cow.@", (2, 3)),
        (TOLD, Window(1), None, "^a cow.@", (3,)),
        (TOLD[:2], Dense(), "an owl.", "^a fox.@[INST]a hen.@[INST]an owl.", (0, 1)),
        (TOLD, Window(2), "an owl.", "^a pig.@[INST]a cow.@[INST]an owl.", (2, 3)),
        # a text without the mark gets it, none gets it twice, and no words are cut (SPEC quirk 7)
        (["a fox.", "a hen."], Dense(), None, "^a fox.@[INST]a hen.@", (0, 1)),
        (["a fox.", "a hen.", "a pig."], Window(2), None, "^a hen.@[INST]a pig.@", (1, 2)),
        (["[INST]a fox.", "[INST]a hen."], Dense(), None, "^a fox.@[INST]a hen.@", (0, 1)),
        (["a fox.", ""], Dense(), None, "^a fox.@[INST]@", (0, 1)),
    ],
)
def test_the_trained_layout(
    texts: list[str],
    policy: ContextPolicy,
    caption: str | None,
    expected: str,
    pictures: tuple[int, ...],
) -> None:
    assert read(Trained(), texts, policy, caption) == expected
    assert Trained().prompt(WORDS, texts, policy, caption).pictures == pictures


@pytest.mark.parametrize(
    ("texts", "policy", "expected", "pictures"),
    [
        (TOLD[:3], Window(8), "^a fox.@[INST]a hen.@[INST]a pig.@", (0, 1, 2)),
        (TOLD, Window(2), "^a pig.@[INST]a cow.@", (2, 3)),
        # SPEC quirk 7: without the mark six characters of the story are lost, at every cut
        (["a fox.", "a hen ran.", "[INST]a pig."], Window(2), "^ran.@[INST]a pig.@", (1, 2)),
        (["a fox.", "12345678", "abcdefgh"], Window(1), "^gh@", (2,)),
        (["a fox.", "a hen.", "a pig."], Window(2), "^@a pig.@", (1, 2)),
    ],
)
def test_the_reference_cuts_six_characters(
    texts: list[str], policy: ContextPolicy, expected: str, pictures: tuple[int, ...]
) -> None:
    assert read(BlindCut(), texts, policy) == expected
    assert BlindCut().prompt(WORDS, texts, policy, None).pictures == pictures


def test_a_blind_cut_through_a_picture_is_an_error() -> None:
    with pytest.raises(SeedStoryError, match="without the reference switch"):
        BlindCut().prompt(WORDS, ["a fox.", "hi", "a pig."], Window(2), None)


@pytest.mark.parametrize(
    ("texts", "caption", "policy", "expected", "pictures"),
    [
        (["a fox."], "a hen.", Window(2), "^a fox.@a hen.", (0,)),
        (["a fox.", "a hen."], "a pig.", Window(2), "^a fox.@a hen.@a pig.", (0, 1)),
        # SPEC quirk 11: from the first eviction on BOS is gone
        (["a fox.", "a hen.", "a pig."], "a cow.", Window(2), "a hen.@a pig.@a cow.", (1, 2)),
        (["a fox.", "a hen.", "a pig."], "a cow.", Window(1), "a pig.@a cow.", (2,)),
    ],
)
def test_the_reference_appends_given_captions(
    texts: list[str], caption: str, policy: ContextPolicy, expected: str, pictures: tuple[int, ...]
) -> None:
    assert read(Appended(), texts, policy, caption) == expected
    assert Appended().prompt(WORDS, texts, policy, caption).pictures == pictures


def test_literal_ids() -> None:
    ids = Trained().prompt(WORDS, ["George ran."], Dense(), "George ran.").ids
    assert ids[0] == 1  # BOS
    assert list(ids).index(400) == len(ids) - len(WORDS.tokenizer.encode("[INST]George ran.")) - 66
    assert ids[-79 - 6 : -6] != ids and ids.count(400) == ids.count(401) == 1
    assert [i for i in ids if 402 <= i <= 465] == list(WORDS.slots)


def test_layouts_agree_while_texts_have_the_mark() -> None:
    for policy in (Dense(), Window(2), Window(1)):
        for count in range(1, 5):
            texts = TOLD[:count]
            assert Trained().prompt(WORDS, texts, policy, None) == BlindCut().prompt(
                WORDS, texts, policy, None
            )


@pytest.mark.parametrize(
    ("raw", "cleaned", "shown"),
    [
        ("[INST]George ran. <img> <img_00000> </img> </s>", "[INST]George ran.", "George ran."),
        ("a <b> c <d>", "a c", "a c"),  # SPEC quirk 8: anything in angle brackets goes
        ("1 < 2 and 3 > 2", "1 2", "1 2"),
        ("<img> </img> [INST]more", "[INST]more", "more"),
        ("one[INST]two", "one[INST]two", "one two"),
        ("", "", ""),
    ],
)
def test_cleaning(raw: str, cleaned: str, shown: str) -> None:
    assert clean(raw) == cleaned and display(cleaned) == shown


def test_bare_takes_one_leading_mark() -> None:
    assert bare("[INST][INST]a [INST]") == "[INST]a [INST]"


@pytest.mark.parametrize(
    ("caption", "says"),
    [
        ("", "is empty"), (" \n\t", "is empty"), ("[INST] ", "is empty"),
        ("word " * 30_000, "150000 letters; at most 100000"),
        ("a <img> b", "'<img>'"), ("x</s>", "'</s>'"), ("<img_00007>", "'<img_00007>'"),
    ],
)  # fmt: skip
def test_captions_that_cannot_be_read_are_refused(caption: str, says: str) -> None:
    with pytest.raises(SeedStoryError, match=says):
        WORDS.check_caption(caption, "caption")


def test_captions_are_stripped() -> None:
    assert WORDS.check_caption(" [INST] a <fox> & hen\n", "caption") == "a <fox> & hen"
