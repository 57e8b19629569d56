"""Weights before training: what the engine's models, made to be loaded, do not set themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from einops import rearrange
from torch import Tensor, nn

from ..engines.seed_story.detokenizer import Detokenizer
from ..engines.seed_story.mllm import Mllm
from ..engines.seed_story.resampler import Resampler
from .stage import generator_of

M = TypeVar("M")
QUERY_STD = 0.02  # of resamplers' queries and the output head
PERIOD = 10_000.0


def seeded(build: Callable[[], M], *key: int | str) -> M:
    """``build()`` with torch's generator at ``key``'s state; the generator is put back after."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator_of(*key).initial_seed())
        return build()


def sine_grid(grid: int, width: int) -> Tensor:
    """2-D sine positions [grid * grid, width], fp32; the first half of the width tells the column.

    Source: get_2d_sincos_pos_embed in src/models/qwen_visual.py of SEED-Story.
    """
    half = width // 2
    steps = torch.arange(half // 2, dtype=torch.float64) / (half / 2)
    angles = torch.outer(torch.arange(grid, dtype=torch.float64), PERIOD**-steps)
    along = torch.cat((angles.sin(), angles.cos()), dim=1)
    column = along.expand(grid, grid, half)
    row = rearrange(along, "y d -> y 1 d").expand(grid, grid, half)
    return rearrange(torch.cat((column, row), dim=-1), "y x d -> (y x) d").float()


@torch.no_grad()
def initialise_resampler(resampler: Resampler) -> None:
    """Sines for the positions, which are never trained; small queries; Xavier's matrices."""
    grid = round(resampler.tokens**0.5)
    width = resampler.positions.weight.shape[1]
    resampler.positions.weight.copy_(sine_grid(grid, width))
    resampler.positions.weight.requires_grad_(False)
    nn.init.trunc_normal_(resampler.query.weight, std=QUERY_STD)
    for layer in (resampler.q_proj, resampler.k_proj, resampler.v_proj, resampler.out_proj):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


@torch.no_grad()
def initialise_mllm(mllm: Mllm) -> None:
    """Normal matrices by their inputs, layers' outputs smaller the more layers there are."""
    config = mllm.model.config
    nn.init.normal_(mllm.model.embed_tokens.weight, std=0.5)
    for name, layer in mllm.model.named_modules():
        if isinstance(layer, nn.Linear):
            shrink = (2 * config.layers) ** -0.5 if name.endswith(("o_proj", "down_proj")) else 1.0
            nn.init.normal_(layer.weight, std=shrink * layer.in_features**-0.5)
    nn.init.normal_(mllm.lm_head.weight, std=QUERY_STD)
    initialise_resampler(mllm.input_resampler)
    initialise_resampler(mllm.output_resampler)


@torch.no_grad()
def initialise_detokenizer(detokenizer: Detokenizer) -> None:
    """Latents and positions of the size 1 / sqrt(width); torch's own start for the rest."""
    for table in (detokenizer.latents, detokenizer.pool.positions):
        nn.init.normal_(table.weight, std=table.weight.shape[1] ** -0.5)
