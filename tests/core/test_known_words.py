"""Words that a world does not know are named; the words it tells with are not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seedstory_core.engines.seed_story.tokenizer import Tokenizer
from seedstory_core.engines.seed_story.unknown import MOST, unknown_words
from seedstory_core.known_words import unknown_note
from seedstory_core.picture_world.stories import tell
from seedstory_core.world import load_world

WORLD = Path(__file__).parents[2] / "worlds" / "picture-world"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_folder(WORLD / "tokenizer")


def test_no_word_of_picture_world_is_named(tokenizer: Tokenizer) -> None:
    captions = {p.caption for seed in range(600) for p in tell(seed, 6)}
    captions |= {p.caption for seed in range(100) for p in tell(seed, 6, "test")}
    captions |= {str(opening["text"]) for opening in load_world(WORLD).openings}
    assert len(captions) > 1000
    assert unknown_words(tokenizer, "\n".join(captions)) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mila meets zzqx.", ("zzqx",)),
        ("ZZQX! Mila and zzqx, zzqx.", ("ZZQX", "zzqx")),
        (
            "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
            ("\u0645\u0631\u062d\u0628\u0627", "\u0628\u0627\u0644\u0639\u0627\u0644\u0645"),
        ),
        ("\u732b\u5728\u8dd1", ("\u732b\u5728\u8dd1",)),
        ("Émile läuft", ("Émile", "läuft")),
        ("\u041c\u0438\u0301\u043b\u0430", ("\u041c\u0438", "\u043b\u0430")),
        ("Mila, 12 + 3 = 15 -- ok?", ()),
        ("", ()),
    ],
)
def test_words_that_are_spelt_are_named_once(
    tokenizer: Tokenizer, text: str, words: tuple[str, ...]
) -> None:
    assert unknown_words(tokenizer, text) == words


def test_few_are_named_of_many(tokenizer: Tokenizer) -> None:
    text = " ".join("é" + chr(0x430 + i) for i in range(32)) * 1000
    assert len(unknown_words(tokenizer, text)) == MOST


def test_an_engine_that_cannot_tell_says_nothing() -> None:
    engine: Any = SimpleNamespace(world=SimpleNamespace(name="w"))
    assert unknown_note(engine, "zzqx") == ""
    engine.unknown_words = lambda text: [w for w in text.split() if w.startswith("z")]
    assert unknown_note(engine, "a b", "c") == ""
    assert "World 'w' does not know the words 'zzqx', 'zig'" in unknown_note(engine, "zzqx", "zig")
