"""More of an adaptation to be counted and timed, beside `works`: drawing, what training keeps."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from ..engines.seed_story.config import LlmConfig
from ..painter.palette_vae import PaletteVae, PaletteVaeConfig
from .adapt_drawing import choose_drawn
from .adapt_plan import Step
from .adapt_reminded import REHEARSED, RemindedTelling
from .adapt_settings import AdaptSettings
from .counting import Cost, parameters, trained_parameters
from .recipe import StageSettings
from .vae import PIXELS, PaletteTraining
from .works import Shapes, Work


def told_twice(work: Work) -> Work:
    """`works.telling` of an LLM that reads its own answers: all is told before it is learnt."""
    pictures = work.batch["pictures"]
    fed = torch.ones(len(pictures), dtype=torch.bool, device=pictures.device)
    told = torch.zeros(len(pictures), dtype=torch.long, device=pictures.device)
    return replace(work, batch={**work.batch, "fed": fed, "told": told})


def asked_before(work: Work) -> Work:
    """`works.telling` of a training that asks the base first what it would say."""
    ids = work.batch["ids"]
    old = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    return replace(work, batch={**work.batch, REHEARSED: old})


def scores_kept(work: Work, llm: LlmConfig, checkpointed: bool) -> int:
    """Bytes of attention's scores for each window of `works.telling`.

    A CPU is trained without fused attention (`learner`), so that every layer keeps its own; with
    checkpointing one layer does at a time. Two more are there while one is computed.
    """
    rows = work.batch["see"].shape[-1]
    return 4 * llm.heads * rows * rows * (2 + (1 if checkpointed else llm.layers))


def drawing(
    shapes: Shapes, settings: AdaptSettings, count: int, device: torch.device, dtype: torch.dtype
) -> Work:
    """A drawn world's VAE, its decoder to be trained, and ``count`` pictures; always fp32."""
    config = PaletteVaeConfig.from_json(shapes.vae)
    with device:
        module = PaletteTraining(PaletteVae(config))
        latents = torch.ones(count, *shapes.latent)
        side = config.patch * shapes.latent[1]
        places = torch.zeros(count, min(PIXELS, side * side), dtype=torch.long)
    choose_drawn(module)
    batch = {"latents": latents, "noise": latents, "places": places, "classes": places}
    return Work(module, batch)


def training_step(
    name: str,
    module: nn.Module,
    cost: Cost,
    stage: StageSettings,
    frugal: bool,
    operations: float,
    seconds: float,
    probed: bool,
) -> Step:
    """The bytes of training ``module`` (on any device, also meta) by `learner.Learner`."""
    every, trained = parameters(module), trained_parameters(module)
    frozen = (every - trained) * (2 if frugal else 4)
    averages = 4 * trained if stage.ema else 0
    copies = 2 * trained if frugal else 0  # autocast's bf16 copies of fp32 weights
    before = 4 * trained if isinstance(module, RemindedTelling) else 0
    return Step(
        name=name,
        parameters=every,
        trained=trained,
        weights=frozen + 4 * trained + averages + before,
        gradients=4 * trained,
        optimiser=8 * trained,
        activations=cost.activations(frugal) + copies,
        disk=3 * 16 * trained,  # two checkpoints and the one being written
        operations=stage.steps * operations,
        seconds=stage.steps * seconds,
        probed=probed,
    )
