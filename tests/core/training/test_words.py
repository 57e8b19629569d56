"""Tokenizers of a world's own words."""

from pathlib import Path

import pytest

from seedstory_core.context import Dense
from seedstory_core.engines.seed_story.prompt import TURN, Trained, Vocabulary, clean
from seedstory_core.errors import SeedStoryError
from seedstory_core.training.words import train_words

NAMES, PLACES = ("Mila", "Bruno", "Pip", "Luna"), ("meadow", "forest", "lake", "kitchen")
CAPTIONS = [
    f'{name} walks to the {place} with a ball. "Come, {other}!" says {name}.'
    for name in NAMES
    for other in NAMES
    for place in PLACES
]


def test_the_same_captions_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        train_words(CAPTIONS, tmp_path / name, image_tokens=4)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert "tokenizer.model" in files and len(files) == 4
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_every_word_and_the_turn_are_one_token(tmp_path: Path) -> None:
    tokenizer = train_words(CAPTIONS, tmp_path, image_tokens=4)
    for caption in CAPTIONS:
        words = caption.replace(".", " .").replace('"', ' " ').replace(",", " ,").split()
        assert len(tokenizer.encode(caption)) <= len(words) + 3
    with_turn = tokenizer.encode(TURN + CAPTIONS[0])
    assert len(with_turn) == len(tokenizer.encode(CAPTIONS[0])) + 1


@pytest.mark.parametrize(
    "text", ["Mila and Olive meet Zoë.", "42 cakes, 3 keys; why?", '[INST]Pip says: "no!"', "é"]
)
def test_any_text_comes_back(tmp_path: Path, text: str) -> None:
    tokenizer = train_words(CAPTIONS, tmp_path, image_tokens=4)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_what_is_told_is_read_again_as_the_same_tokens(tmp_path: Path) -> None:
    tokenizer = train_words(CAPTIONS, tmp_path, image_tokens=4)
    words = Vocabulary(tokenizer, 4, len(tokenizer))
    told = [*tokenizer.encode(TURN + CAPTIONS[5]), words.begin, *words.slots, words.end]
    text = clean(tokenizer.decode(told))
    prompt = Trained().prompt(words, [CAPTIONS[0], text], Dense(), None)
    assert list(prompt.ids[-len(told) :]) == told


def test_a_size_can_be_asked_for(tmp_path: Path) -> None:
    small = train_words(CAPTIONS, tmp_path / "a", image_tokens=4, pieces=400)
    large = train_words(CAPTIONS, tmp_path / "b", image_tokens=9, pieces=440)
    assert len(small) < len(large)
    assert [token for token in large.added if token.startswith("<img_")] == [
        f"<img_{index:05d}>" for index in range(9)
    ]


@pytest.mark.parametrize(
    ("captions", "message"),
    [([], "no caption"), (["  "], "no caption"), (["a <img> b"], "marks"), (["[INST]a"], "marks")],
)
def test_useless_captions_are_refused(tmp_path: Path, captions: list[str], message: str) -> None:
    with pytest.raises(SeedStoryError, match=message):
        train_words(captions, tmp_path, image_tokens=4)
