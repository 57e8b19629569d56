"""The three parts of the engine: how each is built, and which file of a world holds its weights."""

from __future__ import annotations

from typing import Any

from ...parts import PartSpec
from ...world import World
from .config import SeedStoryConfig
from .detokenizer import Detokenizer
from .mllm import Mllm
from .vision import Vision

#: The decoder's linear layers. Embeddings, norms, lm_head and resamplers keep their 16 bits: they
#: are 4 % of the weights, and the features are regressed from their output.
LINEAR = ("model.layers.*_proj.weight",)


def part_specs(world: World, config: SeedStoryConfig) -> tuple[PartSpec[Any], ...]:
    """``vision``, ``llm`` and ``detokenizer`` of ``world``.

    Raises:
        SeedStoryError: a file is missing.
    """
    return (
        PartSpec("vision", lambda ops: Vision(config.vision, ops), world.file("vision")),
        PartSpec("llm", lambda ops: Mllm(config, ops), world.file("llm"), quantisable=LINEAR),
        PartSpec(
            "detokenizer",
            lambda ops: Detokenizer(config.detokenizer, ops),
            world.file("detokenizer"),
            prefix="resampler.",
        ),
    )
