"""The three parts of the engine: how each is built, and which file of a world holds its weights."""

from __future__ import annotations

from typing import Any

from ...parts import PartSpec
from ...world import World
from .config import SeedStoryConfig
from .detokenizer import Detokenizer
from .mllm import Mllm
from .vision import Vision


def part_specs(world: World, config: SeedStoryConfig) -> tuple[PartSpec[Any], ...]:
    """``vision``, ``llm`` and ``detokenizer`` of ``world``.

    Raises:
        SeedStoryError: a file is missing.
    """
    return (
        PartSpec("vision", lambda ops: Vision(config.vision, ops), world.file("vision")),
        PartSpec("llm", lambda ops: Mllm(config, ops), world.file("llm")),
        PartSpec(
            "detokenizer",
            lambda ops: Detokenizer(config.detokenizer, ops),
            world.file("detokenizer"),
            prefix="resampler.",
        ),
    )
