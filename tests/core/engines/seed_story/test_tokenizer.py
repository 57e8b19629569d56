"""The tokenizer gives the ids and texts of transformers 4.34.0, recorded from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from seedstory_core.engines.seed_story.prompt import Vocabulary
from seedstory_core.engines.seed_story.tokenizer import Tokenizer
from seedstory_core.errors import SeedStoryError

GOLDEN = Path(__file__).parents[3] / "golden"
FOLDER = GOLDEN / "seed_story" / "tokenizer"
RECORDED = json.loads((GOLDEN / "tokenizer" / "llama_4_34.json").read_text())["variants"]
MANIFEST = json.loads((GOLDEN / "seed_story" / "MANIFEST.json").read_text())


def changed(folder: Path, name: str, change: Any) -> Path:
    """A copy of the tokenizer in which ``change`` edited the JSON file ``name``."""
    shutil.copytree(FOLDER, folder)
    data = json.loads((folder / name).read_text())
    change(data)
    (folder / name).write_text(json.dumps(data))
    return folder


def variant(name: str, folder: Path) -> Tokenizer:
    def change(config: dict[str, Any]) -> None:
        config["legacy"] = name != "nonlegacy"
        if name == "old":
            del config["added_tokens_decoder"]

    return Tokenizer.from_folder(changed(folder / name, "tokenizer_config.json", change))


@pytest.mark.parametrize("name", list(RECORDED))
def test_ids_and_texts_are_those_of_4_34(name: str, tmp_path: Path) -> None:
    tokenizer = variant(name, tmp_path)
    assert len(tokenizer) == RECORDED[name]["len"]
    for text, ids, back in RECORDED[name]["encode"]:
        assert tokenizer.encode(text) == ids, text
        assert tokenizer.decode(ids) == back, ids
    for ids, text in RECORDED[name]["decode"]:
        assert tokenizer.decode(ids) == text, ids


@pytest.mark.parametrize("case", MANIFEST["files"]["tokenizer/"]["encode_cases"])
def test_the_golden_cases(case: dict[str, Any]) -> None:
    tokenizer = Tokenizer.from_folder(FOLDER)
    ids = tokenizer.encode(case["text"])
    assert ids == case["ids(add_special_tokens=False)"]
    assert tokenizer.decode(ids) == case["decode(skip_special_tokens=False)"]


def test_a_long_text_is_cut_quickly() -> None:
    ids = Tokenizer.from_folder(FOLDER).encode("The fox ran. " * 8000)
    assert len(ids) > 20_000


def test_nothing_but_the_sentencepiece_model_is_required() -> None:
    tokenizer = Tokenizer(FOLDER / "tokenizer.model")
    assert (tokenizer.bos, tokenizer.eos, len(tokenizer)) == (1, 2, 400)
    assert tokenizer.decode(tokenizer.encode("George ran.")) == "George ran."


# Image tokens are found by name: neither their order nor their place among the ids matters.
def test_image_tokens_are_found_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "shuffled"
    names = [f"<img_{i:05d}>" for i in range(4)]
    added = {
        "</img>": 403,
        names[2]: 400,
        "<img>": 405,
        names[0]: 404,
        names[3]: 401,
        names[1]: 402,
    }
    shutil.copytree(FOLDER, folder)
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "added_tokens.json").write_text(json.dumps(added))
    words = Vocabulary(Tokenizer.from_folder(folder), image_tokens=4, rows=406)
    assert (words.begin, words.end, words.slots) == (405, 403, (404, 402, 400, 401))
    assert words.tokenizer.encode(words.image) == [405, 404, 402, 400, 401, 403]


@pytest.mark.parametrize(
    ("image_tokens", "rows", "says"),
    [
        (100, 466, "lacks 36 of the 102 tokens .*: <img_00064>"),
        (64, 467, "466 tokens, but the model 467"),
        (64, 465, "466 tokens, but the model 465"),
    ],
)
def test_a_tokenizer_of_another_model_is_refused(image_tokens: int, rows: int, says: str) -> None:
    with pytest.raises(SeedStoryError, match=says):
        Vocabulary(Tokenizer.from_folder(FOLDER), image_tokens, rows)


def test_a_plain_llama_tokenizer_is_refused() -> None:
    with pytest.raises(SeedStoryError, match="cvlm_llama2_tokenizer"):
        Vocabulary(Tokenizer(FOLDER / "tokenizer.model"), 64, 400)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SeedStoryError, match=r"no sentencepiece model at .*tokenizer.model"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"not a model at all")
    with pytest.raises(SeedStoryError, match="is not a sentencepiece model"):
        Tokenizer.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("added_tokens.json", "[1]", "not an object"),
        ("added_tokens.json", "{", "not valid JSON"),
        ("added_tokens.json", '{"<img>": "x"}', "must be a whole number from 0 to .*, got 'x'"),
        ("added_tokens.json", '{"<a>": 400, "<b>": 400}', "share an id"),
        ("tokenizer_config.json", "nonsense", "not valid JSON"),
    ],
)
def test_damaged_settings_are_named(tmp_path: Path, name: str, text: str, says: str) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    shutil.copyfile(FOLDER / "tokenizer.model", folder / "tokenizer.model")
    (folder / name).write_text(text)
    with pytest.raises(SeedStoryError, match=says):
        Tokenizer.from_folder(folder)
