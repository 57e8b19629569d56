"""The same LLM with 8-bit or 4-bit weights."""

from __future__ import annotations

from ..engines.seed_story.config import SeedStoryConfig
from ..engines.seed_story.mllm import Mllm
from ..engines.seed_story.parts import LINEAR
from ..parts import load_strict
from ..quantised import FORMATS, put_in, quantise
from .weights import Weights, on_meta


def quantised(config: SeedStoryConfig, weights: Weights, name: str) -> Weights:
    """``weights`` merged and quantised as ``name``; what is not quantised is shared.

    Raises:
        SeedStoryError: the library that quantises is missing, or the sizes do not suit it.
    """
    form = FORMATS[name]
    assert form is not None, name
    mllm: Mllm = on_meta(config)
    state = put_in(mllm, quantise(weights.mllm.state_dict(), LINEAR, form), form)
    load_strict(mllm, state, f"{name} weights")
    return Weights(mllm.eval().requires_grad_(False), {})
