"""Stage 1: de-tokenizer and UNet learn together to paint a picture from its visual tokens.

Latents and features come from frozen encoders, through the caches. The UNet learns v-prediction; a
tenth of the pictures is painted from the features of no picture, which becomes the world's negative
(src/models_ipa/adapter_modules.py of SEED-Story trains the same pair on its own features).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from ..engines.seed_story.detokenizer import Detokenizer
from ..errors import SeedStoryError
from .cache import Rows, Shuffled
from .data import open_data
from .diffusion import noised, sample, signal_shares
from .encoded import (
    enlargement,
    frozen,
    open_vision,
    picture_features,
    picture_latents,
    pictures_of,
    zero_features,
)
from .initial import initialise_detokenizer, seeded
from .recipe import Recipe, StageSettings
from .stage import Job, generator_of, part
from .vae import open_vae

NAME = "detokenizer"
QUARTERS = 4
CHECKED = 64  # held-out pictures


class PainterModule(nn.Module):
    """De-tokenizer and UNet, and their loss.

    Args:
        unet: diffusers UNet2DConditionModel of SDXL's type.
        side: of the painted pictures in pixels, as painting tells it to the UNet.
        min_snr: upper limit of the weights by signal-to-noise ratio (arXiv 2303.09556); 0 weighs
            all times alike.
    """

    shares: Tensor
    time_ids: Tensor

    def __init__(
        self,
        detokenizer: Detokenizer,
        unet: Any,
        scheduler: Mapping[str, Any],
        side: int,
        min_snr: float = 0.0,
    ) -> None:
        super().__init__()
        self.detokenizer = detokenizer
        self.unet = unet.to(memory_format=torch.channels_last)
        self.min_snr = min_snr
        sizes = torch.tensor([[side, side, 0, 0, side, side]], dtype=torch.float32)
        self.register_buffer("shares", signal_shares(scheduler), persistent=False)
        self.register_buffer("time_ids", sizes, persistent=False)

    def predict(self, noisy: Tensor, times: Tensor, features: Tensor) -> Tensor:
        """Noisy latents [B, C, h, w] at times [B], features [B, L, D] -> v, fp32."""
        tokens, pooled = self.detokenizer(features)
        added = {"text_embeds": pooled, "time_ids": self.time_ids.expand(len(noisy), -1)}
        answer = self.unet(
            noisy, times, encoder_hidden_states=tokens, added_cond_kwargs=added, return_dict=False
        )
        return answer[0].float()

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """``latents``, ``noise`` [B, C, h, w], ``times`` [B], ``features`` [B, L, D] -> scalars.

        ``v0`` to ``v3`` are the loss by quarters of the times, from clean pictures to noise.
        """
        times = batch["times"]
        shares = self.shares[times]
        noisy, target = noised(batch["latents"], batch["noise"], shares)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        errors = (self.predict(noisy, times, batch["features"]) - target).square().mean((1, 2, 3))
        weights = torch.ones_like(errors)
        if self.min_snr:  # of v-prediction: min(snr, limit) / (snr + 1)
            weights = torch.minimum(shares, self.min_snr * (1 - shares))
        scalars = {"loss": (weights * errors).mean()}
        quarters = times * QUARTERS // len(self.shares)
        for number in range(QUARTERS):
            here = quarters == number
            scalars[f"v{number}"] = (errors * here).sum() / here.sum().clamp(min=1)
        return scalars


@dataclass(frozen=True, eq=False)
class Pairs:
    """What is painted from what, of one split.

    Attributes:
        features: rows [L, D]; ``latents``: rows [C, h, w] of the same pictures.
        pictures: uint8 [N, S, S, 3].
    """

    features: Rows
    latents: Rows
    pictures: Any


class DetokenizerStage:
    """Stage 1, and the frame of stage 3 (which has other features and trains less).

    Args:
        module: what is trained, in a `PainterModule`.
        zero: features [L, D] of no picture.
        held_out: pairs for `check`, or None for no figures.
        paint: latents -> uint8 [B, S, S, 3], for `check`.
    """

    def __init__(
        self,
        module: PainterModule,
        settings: StageSettings,
        recipe: Recipe,
        train: Pairs,
        zero: Tensor,
        held_out: Pairs | None = None,
        vae: Any = None,
        name: str = NAME,
    ) -> None:
        self.name, self.module, self.settings, self.recipe = name, module, settings, recipe
        self.train, self.held_out, self.zero, self.vae = train, held_out, zero, vae
        self._drop = settings.option("drop", 0.1)
        self._noise = settings.option("feature_noise", 0.15)
        self._stratified = settings.option("stratified", True)
        self._high = settings.option("high_noise", 1 / QUARTERS)
        self._check_count = settings.option("check", CHECKED)
        self._check_steps = settings.option("check_steps", 4)
        self._order = Shuffled(len(train.latents), settings.seed, name, "order")

    def batch(self, step: int, rank: int, size: int) -> dict[str, Tensor]:
        """See `Stage.batch`."""
        count, draw = self.settings.batch, generator_of(self.settings.seed, self.name, step)
        places = self._order.take(step, count)
        times = self._times(count, draw)
        noise = torch.randn(count, *self.train.latents.shape, generator=draw)
        dropped = torch.rand(count, generator=draw) < self._drop
        strengths = torch.rand(count, generator=draw) * self._noise
        share = torch.rand(count, generator=draw)
        shaken = torch.randn(count, *self.zero.shape, generator=draw)
        rows = slice(rank, None, size)
        features = self.features(places[rows], share[rows])
        sizes = features.square().mean((1, 2)).sqrt() * strengths[rows]
        features = features + rearrange(sizes, "b -> b 1 1") * shaken[rows]
        features[dropped[rows]] = self.zero
        return {
            "latents": self.train.latents.take(places[rows]),
            "noise": part(noise, rank, size),
            "times": part(times, rank, size),
            "features": features,
        }

    def features(self, places: Tensor, share: Tensor) -> Tensor:
        """Features [B, L, D] that pictures at ``places`` are painted from.

        ``share`` [B], uniform from 0 to 1, is for stages that choose among several.
        """
        return self.train.features.take(places)

    def _times(self, count: int, draw: torch.Generator) -> Tensor:
        """Training times [B]; stratified, each falls into a part of its own.

        Uniform but for option ``high_noise``, the share of the noisiest quarter, where nothing but
        the features tells what to paint: by far the slowest part to learn.
        """
        steps = len(self.module.shares)
        unit = torch.rand(count, generator=draw)
        if self._stratified:
            unit = (torch.randperm(count, generator=draw) + unit) / count
        low, edge = 1 - self._high, 1 - 1 / QUARTERS
        unit = torch.where(unit < low, unit / low * edge, 1 - (1 - unit) / self._high * (1 - edge))
        return (unit * steps).long().clamp(max=steps - 1)

    @torch.no_grad()
    def check(self, module: nn.Module) -> dict[str, float]:
        """Loss on held-out pictures, and the share of pixels that come out exactly."""
        pairs, count = self.held_out, self._check_count
        if pairs is None or not count:
            return {}
        assert isinstance(module, PainterModule)
        device = module.shares.device
        count = min(count, len(pairs.latents))
        draw = generator_of(self.settings.seed, self.name, "check")
        places = torch.randperm(len(pairs.latents), generator=draw)[:count].sort().values
        noise = torch.randn(count, *pairs.latents.shape, generator=draw)
        features = self.held_out_features(places).to(device)
        batch = {
            "latents": pairs.latents.take(places),
            "noise": noise,
            "times": (torch.arange(count) * len(module.shares)) // count,
            "features": features,
        }
        scalars = module({name: value.to(device) for name, value in batch.items()})
        figures = {f"val_{name}": float(value) for name, value in scalars.items()}
        if self.vae is not None:
            painted = sample(
                lambda x, times: module.predict(x, times, features),
                noise.to(device),
                self._check_steps,
                self.recipe.scheduler,
            )
            figures["val_exact"] = exact_share(self.vae, painted, pairs.pictures[places.numpy()])
        return figures

    def held_out_features(self, places: Tensor) -> Tensor:
        """Features of held-out pictures for `check`."""
        assert self.held_out is not None
        return self.held_out.features.take(places)

    def result(self, module: nn.Module) -> dict[str, Mapping[str, Tensor]]:
        """See `Stage.result`."""
        assert isinstance(module, PainterModule)
        return {
            "detokenizer": module.detokenizer.state_dict(),
            "unet": {k: v.contiguous() for k, v in module.unet.state_dict().items()},
        }


def exact_share(vae: Any, latents: Tensor, pictures: Any) -> float:
    """Share of pixels that decode to the very colour of ``pictures``, uint8 [B, S, S, 3]."""
    palette = torch.tensor(vae.config.palette, dtype=torch.uint8)
    like = next(vae.parameters())
    colours = palette[vae.indices(latents.to(like.device, like.dtype)).cpu()]
    return float((colours == torch.from_numpy(np.array(pictures))).all(-1).float().mean())


def new_unet(recipe: Recipe) -> Any:
    """The recipe's UNet, untrained.

    Raises:
        SeedStoryError: its settings are wrong.
    """
    diffusers: Any = import_module("diffusers")  # its lazy exports are opaque to type checkers
    try:
        return diffusers.UNet2DConditionModel.from_config(dict(recipe.unet))
    except (TypeError, ValueError, KeyError) as error:
        raise SeedStoryError(f"The recipe's unet settings are wrong ({error}).") from error


def new_painter(job: Job, settings: StageSettings, side: int) -> PainterModule:
    """De-tokenizer and UNet before training, the same for the same seed."""

    def build() -> PainterModule:
        detokenizer = Detokenizer(job.recipe.sizes.detokenizer)
        initialise_detokenizer(detokenizer)
        unet = new_unet(job.recipe)
        min_snr = settings.option("min_snr", 0.0)
        return PainterModule(detokenizer, unet, job.recipe.scheduler, side, min_snr)

    return seeded(build, settings.seed, NAME, "weights")


def pairs_of(job: Job, split: str) -> Pairs:
    """Features, latents and pictures of a split, through the caches."""
    stories = open_data(job.data, split)
    features, latents = picture_features(job, stories), picture_latents(job, stories)
    return Pairs(features, latents, pictures_of(job, stories))


def held_out_splits(job: Job, settings: StageSettings) -> Sequence[str]:
    """The split for figures, or none where none are wanted or the data has no such split."""
    wanted = settings.option("check", CHECKED)
    return ("val",) if wanted and (job.data / "val.jsonl").is_file() else ()


def build(job: Job) -> DetokenizerStage:
    """Stage 1 for a run whose stage 0 has ended."""
    settings = job.settings(NAME)
    train = pairs_of(job, settings.option("split", "train"))
    held_out = [pairs_of(job, split) for split in held_out_splits(job, settings)]
    side = job.recipe.native_size * enlargement(job)
    return DetokenizerStage(
        new_painter(job, settings, side),
        settings,
        job.recipe,
        train,
        zero_features(open_vision(job), job.recipe.sizes)[0].cpu(),
        held_out[0] if held_out else None,
        frozen(open_vae(job), job),
    )
