"""Painting with ComfyUI's samplers, and the reference's noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.images import from_float
from ...seedstory_core.schedule import init_noise_sigma
from ...seedstory_core.types import Conditioning
from .conditioning import to_conditioning
from .plans import decode
from .progress import Reporter


def sampler_names() -> list[str]:
    """Samplers this host offers."""
    import comfy.samplers

    return list(comfy.samplers.KSampler.SAMPLERS)


def scheduler_names() -> list[str]:
    """Noise schedules this host offers."""
    import comfy.samplers

    return list(comfy.samplers.KSampler.SCHEDULERS)


def largest_sigma(model: Any) -> float:
    """The largest noise level of a MODEL."""
    return float(model.get_model_object("model_sampling").sigma_max)


@dataclass(frozen=True, eq=False)
class ReferenceNoise:
    """A NOISE that starts the sampler where the reference starts.

    ComfyUI multiplies unit noise by the first sigma, or by sqrt(sigma^2 + 1) where that is the
    model's largest (comfy/samplers.py: KSAMPLER.sample, max_denoise); diffusers multiplies by
    `init_noise_sigma`. The noise is scaled by the quotient, which makes both exactly equal.

    Attributes:
        seed: of the CPU generator, as everywhere in the library.
        sigmas: the noise levels it will be used with.
        scheduler: diffusers' scheduler settings of the world, None for SDXL's.
        sigma_max: the model's largest noise level, where known.
    """

    seed: int
    sigmas: Tensor
    scheduler: Mapping[str, Any] | None = None
    sigma_max: float = math.inf

    def __repr__(self) -> str:
        return f"ReferenceNoise(seed {self.seed})"

    def generate_noise(self, input_latent: Mapping[str, Any]) -> Tensor:
        """Noise for ``input_latent["samples"]``, the same for all pictures of a batch."""
        like = input_latent["samples"]
        generator = torch.Generator("cpu").manual_seed(self.seed)
        noise = torch.randn((1, *like.shape[1:]), generator=generator, dtype=torch.float32)
        return (noise * self.scale()).expand(like.shape).clone()

    def scale(self) -> float:
        """What unit noise must be multiplied by for ComfyUI to end up at `init_noise_sigma`."""
        first = float(self.sigmas[0])
        largest = math.isclose(self.sigma_max, first, rel_tol=1e-5) or first > self.sigma_max
        applied = math.sqrt(first**2 + 1) if largest else first
        return init_noise_sigma(self.sigmas, self.scheduler) / applied


@dataclass(frozen=True, eq=False)
class SamplerSettings:
    """How ComfyUI samples: ``sigmas`` given from outside win over ``scheduler`` and ``steps``.

    ``tiled``: decode in tiles.
    """

    steps: int
    cfg: float
    sampler: str
    scheduler: str
    sigmas: Tensor | None = None
    world_scheduler: Mapping[str, Any] | None = None
    tiled: bool = False


def paint_one(
    model: Any,
    vae: Any,
    conditioning: Conditioning,
    size: tuple[int, int],
    seed: int,
    settings: SamplerSettings,
    reporter: Reporter,
) -> Tensor:
    """One picture, uint8 [height, width, 3], with a live preview at every step.

    Raises:
        SeedStoryError: ``size`` = (width, height) does not fit the VAE, or pixels are NaN.
    """
    latent = _empty_latent(model, vae, size)
    samples = sample_latent(model, latent, conditioning, size, seed, settings, reporter)
    return from_float(decode(vae, samples, settings.tiled))[0]


def sample_latent(
    model: Any,
    latent: Tensor,
    conditioning: Conditioning,
    size: tuple[int, int],
    seed: int,
    settings: SamplerSettings,
    reporter: Reporter,
) -> Tensor:
    """``latent`` [B, C, H, W], empty, sampled through ComfyUI's guided sampler."""
    import comfy.sample
    import comfy.samplers

    sigmas = _sigmas(model, settings)
    positive, negative = to_conditioning(conditioning, size)
    return comfy.sample.sample_custom(
        model,
        _noise(model, latent, seed, sigmas, settings),
        settings.cfg,
        comfy.samplers.sampler_object(settings.sampler),
        sigmas,
        positive,
        negative,
        latent,
        callback=_preview_callback(model, reporter),
        disable_pbar=True,
        seed=seed,
    )


def _sigmas(model: Any, settings: SamplerSettings) -> Tensor:
    import comfy.samplers

    if settings.sigmas is not None:
        if settings.sigmas.numel() < 2:
            raise SeedStoryError("The connected SIGMAS hold no step: expected at least 2 values.")
        return settings.sigmas
    return comfy.samplers.KSampler(
        model,
        steps=settings.steps,
        device=model.load_device,
        sampler=settings.sampler,
        scheduler=settings.scheduler,
        denoise=1.0,
        model_options=model.model_options,
    ).sigmas


def _empty_latent(model: Any, vae: Any, size: tuple[int, int]) -> Tensor:
    import comfy.model_management as management

    factor = int(vae.spacial_compression_decode())
    width, height = size
    if width % factor or height % factor or min(size) < factor:
        raise SeedStoryError(
            f"Width and height must be multiples of {factor} for this VAE, got {width} x {height}."
        )
    channels = model.get_model_object("latent_format").latent_channels
    shape = (1, channels, height // factor, width // factor)
    return torch.zeros(shape, device=management.intermediate_device())


def _noise(
    model: Any, latent: Tensor, seed: int, sigmas: Tensor, settings: SamplerSettings
) -> Tensor:
    import comfy.sample

    if settings.sigmas is None:
        return comfy.sample.prepare_noise(latent, seed)
    noise = ReferenceNoise(seed, sigmas, settings.world_scheduler, largest_sigma(model))
    return noise.generate_noise({"samples": latent})


def _preview_callback(model: Any, reporter: Reporter) -> Any:
    import latent_preview

    previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)

    def callback(step: int, denoised: Tensor, _noisy: Tensor, total: int) -> None:
        picture = previewer.decode_latent_to_preview_image("JPEG", denoised) if previewer else None
        reporter.step(step + 1, total, picture)

    return callback
