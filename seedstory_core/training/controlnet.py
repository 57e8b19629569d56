"""Trains a ControlNet on a finished painter: pictures follow the edges they are given.

De-tokenizer and UNet are frozen. Hints are `edges.canny` of the pictures with thresholds of their
own, some pixels missing, a tenth of them empty; so that a hint by another hand works as well, and
an empty one does no harm. The result is an optional file beside a world (11.9 MB in fp16 at Picture
World's sizes), in diffusers' naming, for Load World ControlNet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import SeedStoryError
from ..painter.edges import agreement, canny, hints
from ..painter.steering import HINT_FACTOR, new_control
from .adapt_detokenizer import NAME as ADAPT
from .adapt_detokenizer import open_painter_module
from .detokenizer import NAME as DETOKENIZER
from .detokenizer import DetokenizerStage, PainterModule, held_out_splits, pairs_of
from .diffusion import noised, sample
from .encoded import enlargement, frozen, open_vision, zero_features
from .recipe import StageSettings
from .stage import Job, generator_of, part
from .vae import open_vae

NAME = "controlnet"
LOWEST, HIGHEST = 0.15, 0.6  # of the lower threshold; the upper one is twice as high
MISSING = 0.3  # largest share of a hint's pixels that is left out
EMPTY = 0.1  # share of hints without any edge


class ControlModule(PainterModule):
    """A frozen painter and the ControlNet that is trained.

    Args:
        painter: gives its parts to this module.
    """

    def __init__(self, painter: PainterModule, scheduler: Mapping[str, Any], side: int) -> None:
        super().__init__(painter.detokenizer, painter.unet, scheduler, side)
        self.requires_grad_(False)
        self.control = new_control(painter.unet).to(memory_format=torch.channels_last)
        self.control.requires_grad_(True)

    def steer(
        self, noisy: Tensor, times: Tensor, features: Tensor, edges: Tensor, strength: float = 1.0
    ) -> Tensor:
        """Noisy latents [B, C, h, w], features [B, L, D], hints [B, 3, H, W] -> v, fp32."""
        tokens, pooled = self.detokenizer(features)
        added = {"text_embeds": pooled, "time_ids": self.time_ids.expand(len(noisy), -1)}
        given = {"encoder_hidden_states": tokens, "added_cond_kwargs": added, "return_dict": False}
        down, mid = self.control(
            noisy, times, controlnet_cond=edges, conditioning_scale=strength, **given
        )
        extra = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        return self.unet(noisy, times, **given, **extra)[0].float()

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """A batch of stage 1 with ``hints`` [B, 3, H, W] -> the loss."""
        shares = self.shares[batch["times"]]
        noisy, target = noised(batch["latents"], batch["noise"], shares)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        answer = self.steer(noisy, batch["times"], batch["features"], batch["hints"])
        return {"loss": (answer - target).square().mean()}


class ControlStage(DetokenizerStage):
    """Stage 1's batches with hints."""

    def batch(self, step: int, rank: int, size: int) -> dict[str, Tensor]:
        """See `Stage.batch`."""
        places = self._order.take(step, self.settings.batch)
        draw = generator_of(self.settings.seed, self.name, step, "hints")
        drawn = drawn_hints(unit_pixels(self.train.pictures, places), draw)
        return {**super().batch(step, rank, size), "hints": part(drawn, rank, size)}

    @torch.no_grad()
    def check(self, module: nn.Module) -> dict[str, float]:
        """How far held-out pictures follow their edges, with the ControlNet and without."""
        pairs = self.held_out
        if pairs is None or self.vae is None or not self._check_count:
            return {}
        assert isinstance(module, ControlModule)
        device, count = module.shares.device, min(self._check_count, len(pairs.latents))
        draw = generator_of(self.settings.seed, self.name, "check")
        places = torch.randperm(len(pairs.latents), generator=draw)[:count].sort().values
        noise = torch.randn(count, *pairs.latents.shape, generator=draw).to(device)
        features = pairs.features.take(places).to(device)
        edges = canny(unit_pixels(pairs.pictures, places))
        given = hints(edges).to(device)
        figures = {}
        for name, strength in (("val_edges", 1.0), ("val_edges_plain", 0.0)):

            def predict(x: Tensor, times: Tensor, strength: float = strength) -> Tensor:
                return module.steer(x, times, features, given, strength)

            painted = sample(predict, noise, self._check_steps, self.recipe.scheduler)
            found = canny(self._pixels(painted))
            figures[name] = float(agreement(found, edges).mean())
        return figures

    def _pixels(self, latents: Tensor) -> Tensor:
        """Latents [B, C, h, w] -> pictures [B, 3, S, S] of 0..1 on the CPU."""
        palette = torch.tensor(self.vae.config.palette).float() / 255
        colours = palette[self.vae.indices(latents.float()).cpu()]
        return rearrange(colours, "b h w c -> b c h w")

    def result(self, module: nn.Module) -> dict[str, Mapping[str, Tensor]]:
        """See `Stage.result`."""
        assert isinstance(module, ControlModule)
        state = module.control.state_dict()
        return {NAME: {name: value.half().contiguous() for name, value in state.items()}}


def unit_pixels(pictures: np.ndarray, places: Tensor) -> Tensor:
    """uint8 [N, S, S, 3] at ``places`` [B] -> [B, 3, S, S] of 0..1."""
    chosen = torch.from_numpy(np.array(pictures[places.numpy()]))
    return rearrange(chosen.float() / 255, "b h w c -> b c h w")


def drawn_hints(pixels: Tensor, draw: torch.Generator) -> Tensor:
    """Pictures [B, 3, S, S] of 0..1 -> hints of the same shape, each drawn by another hand."""
    count = len(pixels)
    low = LOWEST + (HIGHEST - LOWEST) * torch.rand(count, generator=draw)
    missing = MISSING * torch.rand(count, generator=draw)
    missing[torch.rand(count, generator=draw) < EMPTY] = 1.0
    edges = canny(pixels, low, 2 * low)
    kept = torch.rand(edges.shape, generator=draw) >= rearrange(missing, "b -> b 1 1 1")
    return hints(edges * kept)


def trained_painter(job: Job) -> PainterModule:
    """De-tokenizer and UNet of a run, as far as they are trained."""
    adapted = (job.folder(ADAPT) / "unet.safetensors").is_file()
    stems = ("detokenizer", "unet")
    states = [load_file(job.result(ADAPT if adapted else DETOKENIZER, stem)) for stem in stems]
    return open_painter_module(job.recipe, *states, side=job.recipe.native_size * enlargement(job))


def new_module(job: Job, settings: StageSettings) -> ControlModule:
    """The module before training, the same for the same seed.

    Raises:
        SeedStoryError: latents of this recipe are not an eighth of the pictures.
    """
    patch = job.recipe.vae.get("patch", HINT_FACTOR)
    if patch != HINT_FACTOR:
        raise SeedStoryError(
            f"A ControlNet's hint has {HINT_FACTOR} times the latents' side; the recipe's VAE has "
            f"patches of {patch} px. ControlNets are trained for patches of {HINT_FACTOR} px only."
        )
    side = job.recipe.native_size * enlargement(job)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator_of(settings.seed, NAME, "weights").initial_seed())
        return ControlModule(trained_painter(job), job.recipe.scheduler, side)


def build(job: Job) -> ControlStage:
    """The stage for a run whose stage 1, or 3, has ended."""
    settings = job.settings(NAME)
    held_out = [pairs_of(job, split) for split in held_out_splits(job, settings)]
    return ControlStage(
        new_module(job, settings),
        settings,
        job.recipe,
        pairs_of(job, settings.option("split", "train")),
        zero_features(open_vision(job), job.recipe.sizes)[0].cpu(),
        held_out[0] if held_out else None,
        frozen(open_vae(job), job),
        NAME,
    )
