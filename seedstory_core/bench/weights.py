"""Random weights, made where they are used: a LoRA, and the LLM with it merged and without.

Sizes of the numbers keep activations near one at any width, so that features are of order one and a
difference of 1e-4 between two schedules means something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..engines.seed_story.config import SeedStoryConfig
from ..engines.seed_story.mllm import Mllm
from ..ops import torch_ops
from ..training.lora import DEFAULTS, TARGETS

RANK = int(DEFAULTS["r"])
SCALING = int(DEFAULTS["alpha"]) / RANK
STRENGTH = 0.1  # of the LoRA's second matrix, beside the 1 / sqrt(inputs) of the first
GAINS = {"q_proj": 1.5, "positions": 0.3, "lm_head": 2.0}  # on 1 / sqrt(inputs); others have 1


@dataclass(frozen=True, eq=False)
class Adapted:
    """One adapted matrix as the reference computes with it: ``W x + scaling * up(down(x))``.

    Attributes:
        base: [out, in]; ``down``: [rank, in]; ``up``: [out, rank].
    """

    base: Tensor
    down: Tensor
    up: Tensor


@dataclass(frozen=True, eq=False)
class Weights:
    """The LLM with its LoRA merged, and by parameter name the adapted matrices before that."""

    mllm: Mllm
    adapted: Mapping[str, Adapted]

    @property
    def dtype(self) -> torch.dtype:
        return self.mllm.lm_head.weight.dtype


def on_meta(config: SeedStoryConfig) -> Mllm:
    """The LLM without storage."""
    with torch.device("meta"):
        return Mllm(config, torch_ops)


def random_weights(
    config: SeedStoryConfig, device: torch.device, dtype: torch.dtype, seed: int
) -> Weights:
    """Weights by ``seed``, drawn on ``device`` in fp32 and rounded to ``dtype``.

    The merged matrix is rounded from the fp32 sum, so that in fp16 merged and unmerged differ by
    rounding, as the released model's do.
    """
    generator = torch.Generator(device).manual_seed(seed)
    mllm = on_meta(config)
    state: dict[str, Tensor] = {}
    adapted: dict[str, Adapted] = {}
    for name, leaf in mllm.named_modules():
        for key, like in leaf.named_parameters(recurse=False):
            whole = f"{name}.{key}"
            value = _drawn(leaf, name, like, generator)
            if name.endswith(TARGETS) and name.startswith("model.layers."):
                down, up = _lora(value, generator)
                adapted[whole] = Adapted(value.to(dtype), down.to(dtype), up.to(dtype))
                value = value + SCALING * up @ down
            state[whole] = value.to(dtype)
    mllm.load_state_dict(state, strict=True, assign=True)
    return Weights(mllm.eval().requires_grad_(False), adapted)


def _drawn(leaf: nn.Module, name: str, like: Tensor, generator: torch.Generator) -> Tensor:
    """Norms near one, biases near zero, embeddings of deviation one, matrices 1 / sqrt(inputs)."""
    value = torch.empty(like.shape, device=generator.device, dtype=torch.float32)
    value.normal_(generator=generator)
    gain = next((GAINS[end] for end in GAINS if name.endswith(end)), 1.0)
    if isinstance(leaf, nn.Embedding):
        return value.mul_(gain)
    if value.ndim == 1:
        is_norm = isinstance(leaf, nn.LayerNorm | nn.RMSNorm) and like is leaf.weight
        return value.mul_(0.1).add_(1.0 if is_norm else 0.0)
    return value.mul_(gain / value.shape[1] ** 0.5)


def _lora(matrix: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """``down`` [rank, in] and ``up`` [out, rank] for a matrix [out, in]."""
    out, inward = matrix.shape
    down = matrix.new_empty(RANK, inward).normal_(generator=generator)
    up = matrix.new_empty(out, RANK).normal_(generator=generator)
    return down / inward**0.5, up * (STRENGTH / RANK**0.5)
