"""Sizes: JSON there and back, and hostile world.json files."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from seedstory_core.engines.seed_story.config import OFFICIAL, SeedStoryConfig
from seedstory_core.errors import SeedStoryError


def test_json_keeps_every_size() -> None:
    assert SeedStoryConfig.from_json(json.loads(json.dumps(OFFICIAL.to_json()))) == OFFICIAL


def test_official_picture_is_64_tokens() -> None:
    assert OFFICIAL.image_tokens == 64 and OFFICIAL.llm.head_width == 128


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("llm",), None, "'llm'"),
        (("llm", "width"), 0, "llm.width must be a whole number"),
        (("llm", "width"), "4096", "llm.width must be a whole number"),
        (("llm", "width"), True, "llm.width must be a whole number"),
        (("llm", "heads"), 33, "llm.width / heads"),
        (("llm", "kv_heads"), 5, "kv_heads"),
        (("llm", "colour"), 3, "wrong fields"),
        (("vision", "pool"), [1], "'pool'"),
        (("vision", "pool", "grid"), -4, "vision.pool.grid"),
        (("input_resampler", "source"), 64, "input_resampler.source"),
        (("output_resampler", "grid"), 8, "output_resampler.grid"),
        (("detokenizer", "prompt_widths"), [768, -1], "prompt_widths"),
        (("nonsense",), {}, "nonsense"),
    ],
)
def test_wrong_sizes_are_named(path: tuple[str, ...], value: Any, says: str) -> None:
    data = json.loads(json.dumps(OFFICIAL.to_json()))
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(SeedStoryError, match=says):
        SeedStoryConfig.from_json(data)


def test_a_missing_size_is_named() -> None:
    data = OFFICIAL.to_json()
    del data["llm"]["heads"]
    with pytest.raises(SeedStoryError, match="heads"):
        SeedStoryConfig.from_json(data)


def test_contradicting_sizes_cannot_be_made_in_code_either() -> None:
    with pytest.raises(SeedStoryError, match="contradict"):
        replace(OFFICIAL, detokenizer=replace(OFFICIAL.detokenizer, source=1024))
