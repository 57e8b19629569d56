"""Character cards: kept whole, read with suspicion, put into captions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from seedstory_core.author import Card, cards_in, cast, introduced, load_card, save_card, with_looks
from seedstory_core.errors import SeedStoryError

PICTURE = torch.arange(48, dtype=torch.uint8).reshape(4, 4, 3)
MILA = Card("Mila", "a girl with a red scarf", PICTURE, "sub/mila.safetensors", 0.8)
BRUNO = Card("Bruno", "a brown bear")


def test_a_card_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = save_card(tmp_path, MILA)
    loaded = load_card(folder)
    assert folder == tmp_path / "Mila" and loaded.picture.equal(PICTURE)
    assert (loaded.name, loaded.phrase, loaded.lora, loaded.strength) == (
        "Mila", "a girl with a red scarf", "sub/mila.safetensors", 0.8,
    )  # fmt: skip
    assert save_card(tmp_path, MILA) == folder, "the same card again is no change"
    assert loaded.character.images[0].equal(PICTURE) and loaded.character.name == "Mila"


def test_another_card_of_a_name_is_replaced_on_request_only(tmp_path: Path) -> None:
    save_card(tmp_path, MILA)
    other = Card("Mila", "an old lady")
    with pytest.raises(SeedStoryError, match="another card 'Mila'"):
        save_card(tmp_path, other)
    assert load_card(tmp_path / "Mila").phrase == MILA.phrase
    replaced = load_card(save_card(tmp_path, other, replace=True))
    assert replaced.phrase == "an old lady" and replaced.picture.equal(PICTURE)


def test_the_library_is_listed_and_cast(tmp_path: Path) -> None:
    assert cards_in(tmp_path / "none") == {}
    for card in (MILA, BRUNO):
        save_card(tmp_path, card)
    (tmp_path / "notes").mkdir()
    assert list(cards_in(tmp_path)) == ["Bruno", "Mila"]
    assert [c.name for c in cast(tmp_path, "Mila,\n Bruno, Mila")] == ["Mila", "Bruno"]
    assert [c.name for c in cast(tmp_path, "*")] == ["Bruno", "Mila"] and cast(tmp_path, "") == ()
    with pytest.raises(SeedStoryError, match="no character card 'Ada' .* Found: Bruno, Mila"):
        cast(tmp_path, "Ada")
    with pytest.raises(SeedStoryError, match="no character card"):
        cast(tmp_path, "../Mila")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": " "}, "needs a name"),
        ({"name": "x" * 81}, "at most 80 letters"),
        ({"name": "A\x00"}, r"name of a character has the control character U\+0000"),
        ({"phrase": "a \u202e"}, r"U\+202E"),
        ({"phrase": "x" * 401}, "at most 400"),
        ({"lora": "../../etc/passwd"}, "no file's name"),
        ({"lora": "C:\\x"}, "no file's name"),
        ({"lora": "/x"}, "no file's name"),
        ({"strength": float("nan")}, "from -10 to 10"),
        ({"strength": 11.0}, "from -10 to 10"),
        ({"picture": torch.zeros(2, 2)}, "must be uint8"),
    ],
)
def test_what_makes_no_card_is_said(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SeedStoryError, match=message):
        Card(**{"name": "Ada", **fields})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "is no card"),
        ({"version": 2}, "has version 2; this program reads 1"),
        ({"name": 3}, "name must be text"),
        ({"strength": True}, "strength must be a number"),
        ({"picture": ["x"]}, "picture must be text"),
        ({"picture": "../secret.png"}, "leaves its folder"),
        ({"picture": "/etc/passwd"}, "leaves its folder"),
        ({"picture": "gone.png"}, "no picture at"),
        ({"lora": "../x"}, "no file's name"),
    ],
)
def test_cards_of_strangers_are_read_with_suspicion(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = save_card(tmp_path, MILA)
    data = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**data, **changes}))
    with pytest.raises(SeedStoryError, match=message):
        load_card(folder)


@pytest.mark.parametrize("text", ["{", "[]", "[" * 50_000, "x" * 100_000])
def test_files_that_are_no_card_are_refused(tmp_path: Path, text: str) -> None:
    folder = save_card(tmp_path, MILA)
    (folder / "card.json").write_text(text)
    with pytest.raises(SeedStoryError, match="no card|valid JSON|larger than"):
        load_card(folder)


def test_a_link_out_of_the_library_is_not_written_through(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "Mila").symlink_to(outside, target_is_directory=True)
    with pytest.raises(SeedStoryError, match="leaves its folder"):
        save_card(tmp_path / "library", MILA)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    ("caption", "wanted"),
    [
        ("Mila runs.", "Mila, a girl with a red scarf, runs."),
        ("Here comes Mila.", "Here comes Mila, a girl with a red scarf."),
        ("Mila meets Bruno!", "Mila, a girl with a red scarf, meets Bruno, a brown bear!"),
        ("Mila, happy, waves to Mila.", "Mila, a girl with a red scarf, happy, waves to Mila."),
        ("Mila's kite, says Mila.", "Mila's kite, says Mila, a girl with a red scarf."),
        ("Milan is a town; mila is a word.", "Milan is a town; mila is a word."),
        ("Mila, a girl with a red scarf, is back.", "Mila, a girl with a red scarf, is back."),
        ("Nobody.", "Nobody."),
    ],
)
def test_looks_follow_the_first_mention(caption: str, wanted: str) -> None:
    assert with_looks(caption, [MILA, BRUNO]) == wanted


def test_of_names_that_begin_alike_the_longer_counts() -> None:
    cards = [Card("Ada", "a fox"), Card("Ada Bell", "a hen")]
    assert with_looks("Ada Bell sings.", cards) == "Ada Bell, a hen, sings."


def test_names_in_looks_and_marks_of_patterns_mean_nothing() -> None:
    cards = [Card("A.B", "friend of Cy"), Card("Cy", r"\1 (old)")]
    assert with_looks("A.B waits.", cards) == "A.B, friend of Cy, waits."
    assert with_looks("AxB sees Cy.", cards) == r"AxB sees Cy, \1 (old)."


def test_looks_come_once_or_in_every_panel() -> None:
    captions = ["Mila runs.", "Bruno sleeps.", "Mila wakes Bruno."]
    first = introduced(captions, [MILA, BRUNO])
    assert first[2] == "Mila wakes Bruno." and "bear" in first[1]
    every = introduced(captions, [MILA, BRUNO], "every panel")
    assert every[2] == "Mila, a girl with a red scarf, wakes Bruno, a brown bear."
    with pytest.raises(SeedStoryError, match="first panel or every panel"):
        introduced(captions, [MILA], "never")
