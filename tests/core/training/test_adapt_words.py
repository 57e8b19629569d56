"""New names become tokens: a tokenizer that grows, and rows that begin as what the base expects."""

import json
from pathlib import Path

import pytest
import torch

from seedstory_core.engines.seed_story.mllm import Mllm
from seedstory_core.engines.seed_story.tokenizer import SPACE
from seedstory_core.errors import SeedStoryError
from seedstory_core.hosts import read_part
from seedstory_core.parts import PartSpec
from seedstory_core.training.adapt_base import open_words
from seedstory_core.training.adapt_words import (
    EMBEDDING,
    HEAD,
    Words,
    begin,
    grow,
    spelt_words,
)
from seedstory_core.training.data import Stories, Tale
from seedstory_core.training.llm import TellingModule
from seedstory_core.training.windows import Scripts, Window, collate
from seedstory_core.world import World

NAME = "Quillonde"
CAPTIONS = (
    f"Mila sees {NAME}. {NAME} waves.",
    f"{NAME} and Mila go to the lake.",
    "Mila sits down.",
    f"They call for {NAME}.",
)


@pytest.fixture
def base(tiny_world: World) -> Words:
    return Words(*open_words(tiny_world))


@pytest.fixture
def grown(tiny_world: World, base: Words, tmp_path: Path) -> Words:
    return grow(tiny_world, base, [NAME], tmp_path / "words")


def test_words_that_are_said_often_and_spelt_are_found(base: Words):
    tokenizer = base.vocabulary.tokenizer
    assert len(tokenizer.encode(NAME)) >= 3
    assert NAME in spelt_words(CAPTIONS, tokenizer)
    assert spelt_words([f"{NAME} waves."] * 2, tokenizer) == ()  # said twice: a whim
    known = next(word for word in ("the", "and", "She") if len(tokenizer.encode(word)) == 1)
    assert known not in spelt_words([known] * 50, tokenizer)


def test_a_new_word_is_one_token_wherever_it_stands(base: Words, grown: Words):
    old, new = base.vocabulary.tokenizer, grown.vocabulary.tokenizer
    first = old.pieces
    assert grown.new == slice(first, first + 2) and len(new) == len(old) + 2
    assert new.encode(f"{NAME}.")[0] == first
    assert new.encode("[INST]" + NAME)[-1] == first + 1
    for text in (*CAPTIONS, f"[INST]{NAME}s boat", f"x{NAME}"):
        assert new.decode(new.encode(text)) == old.decode(old.encode(text)) == text


def test_all_else_is_cut_as_before(base: Words, grown: Words):
    old, new = base.vocabulary, grown.vocabulary
    moved = [id + 2 if id >= grown.first else id for id in old.tokenizer.encode(CAPTIONS[2])]
    assert new.tokenizer.encode(CAPTIONS[2]) == moved
    ends = (old.begin, old.end, *old.slots)
    assert (new.begin, new.end, *new.slots) == tuple(id + 2 for id in ends)
    assert (new.bos, new.eos) == (old.bos, old.eos)


def test_a_word_that_is_a_token_already_stays_one(tiny_world: World, grown: Words, tmp_path: Path):
    assert grown.vocabulary.tokenizer.has_piece(SPACE + NAME)
    assert grow(tiny_world, grown, [NAME], tmp_path / "again") is grown
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("words", [["two words"], ["R2D2"], [""], ["Word"] * 33])
def test_what_is_no_word_is_refused(
    tiny_world: World, base: Words, tmp_path: Path, words: list[str]
):
    with pytest.raises(SeedStoryError, match="words of letters"):
        grow(tiny_world, base, words, tmp_path / "words")


def _module(world: World, words: Words) -> TellingModule:
    spec = PartSpec("llm", lambda ops: None, world.file("llm"), "")
    mllm = Mllm(words.config)
    mllm.load_state_dict(words.grown(read_part(spec)))
    return TellingModule(mllm.float()).eval()


def _batch(words: Words) -> dict[str, torch.Tensor]:
    tale = Tale("one", ("0.png",) * len(CAPTIONS), CAPTIONS)
    scripts = Scripts(words.vocabulary, Stories(Path(), "train", (tale,)))
    batch = collate(scripts, [Window(0, len(CAPTIONS), False)])
    pictures = torch.randn(len(CAPTIONS), 4, 16, generator=torch.Generator().manual_seed(1))
    return {**batch, "pictures": pictures[batch["pictures"]]}


def test_rows_of_known_tokens_stay_and_new_ones_are_blends(
    tiny_world: World, grown: Words, tmp_path: Path
):
    module, kept = _module(tiny_world, grown), tmp_path / "rows.safetensors"
    tables = {EMBEDDING: module.mllm.model.embed_tokens.weight, HEAD: module.mllm.lm_head.weight}
    before = {name: table.detach().clone() for name, table in tables.items()}
    begin(module, grown, [_batch(grown)], kept)
    known = [id for id in range(len(before[HEAD])) if id not in range(*grown.new.indices(10**6))]
    for name, table in tables.items():
        assert not before[name][grown.new].any()
        assert torch.equal(table[known], before[name][known])
        new = table[grown.new].detach()
        low, high = before[name][known].amin(0), before[name][known].amax(0)
        assert new.any(-1).all() and (new >= low).all() and (new <= high).all()
    again = _module(tiny_world, grown)
    begin(again, grown, [], kept)  # a resumed run reads nothing
    assert torch.equal(again.mllm.lm_head.weight, module.mllm.lm_head.weight)


def test_the_files_agree(grown: Words):
    assert grown.folder is not None
    added = json.loads((grown.folder / "added_tokens.json").read_text())
    config = json.loads((grown.folder / "tokenizer_config.json").read_text())
    decoder = {entry["content"]: int(id) for id, entry in config["added_tokens_decoder"].items()}
    assert decoder == added
    assert min(id for id in added.values() if id > 2) == grown.first + grown.count
