"""Painting with ComfyUI's samplers, and the reference's noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.images import from_float
from ...seedstory_core.painter.batches import fitting
from ...seedstory_core.schedule import init_noise_sigma
from ...seedstory_core.types import Conditioning
from .conditioning import to_conditioning
from .plans import decode
from .progress import Reporter

#: Samplers that treat every picture of a batch by itself: no noise is drawn on the way, and no
#: step's length follows from how far off the whole batch is.
BY_ITSELF = frozenset(
    "euler heun heunpp2 dpm_2 lms dpmpp_2m ddim uni_pc uni_pc_bh2 ipndm ipndm_v deis".split()
)


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
    """`paint_some` of one."""
    return paint_some(model, vae, conditioning, size, [seed], settings, reporter)[0]


def paint_some(
    model: Any,
    vae: Any,
    conditioning: Conditioning,
    size: tuple[int, int],
    seeds: Sequence[int],
    settings: SamplerSettings,
    reporter: Reporter,
) -> list[Tensor]:
    """A picture for each of ``seeds``, uint8 [height, width, 3], sampled together.

    A preview of the first is shown at every step. Decoding takes most memory, so it is done one by
    one.

    Args:
        conditioning: of batch B, one for each seed.

    Raises:
        SeedStoryError: ``size`` = (width, height) does not fit the VAE, or pixels are NaN.
    """
    latent = _empty_latent(model, vae, size, len(seeds))
    samples = sample_latent(model, latent, conditioning, size, seeds, settings, reporter)
    return [from_float(decode(vae, one[None], settings.tiled))[0] for one in samples]


def worth_at_once(model: Any, vae: Any, size: tuple[int, int], sampler: str) -> int:
    """How many pictures of ``size`` are worth sampling together on the model's device, and fit.

    One where the sampler would paint others together than each by itself.
    """
    import comfy.model_management as management

    if sampler not in BY_ITSELF:
        return 1
    factor = int(vae.spacial_compression_decode())
    latents = max(1, size[0] // factor) * max(1, size[1] // factor)
    free = int(management.get_total_memory(model.load_device)) - int(model.model_size())
    return fitting(max(0, free), latents, torch.float32.itemsize)


def sample_latent(
    model: Any,
    latent: Tensor,
    conditioning: Conditioning,
    size: tuple[int, int],
    seeds: Sequence[int],
    settings: SamplerSettings,
    reporter: Reporter,
) -> Tensor:
    """``latent`` [B, C, H, W], empty, sampled through ComfyUI's guided sampler.

    ``seeds``: of each picture's noise.
    """
    import comfy.sample
    import comfy.samplers

    sigmas = _sigmas(model, settings)
    positive, negative = to_conditioning(conditioning, size)
    noise = [_noise(model, latent[:1], seed, sigmas, settings) for seed in seeds]
    return comfy.sample.sample_custom(
        model,
        torch.cat(noise),
        settings.cfg,
        comfy.samplers.sampler_object(settings.sampler),
        sigmas,
        positive,
        negative,
        latent,
        callback=_preview_callback(model, reporter),
        disable_pbar=True,
        seed=seeds[0],
    )


def _sigmas(model: Any, settings: SamplerSettings) -> Tensor:
    import comfy.samplers

    if settings.sigmas is not None:
        check_sigmas(settings.sigmas)
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


def check_sigmas(sigmas: Tensor | None) -> None:
    """Connected noise levels make at least one step."""
    if sigmas is not None and sigmas.numel() < 2:
        raise SeedStoryError("The connected SIGMAS hold no step: expected at least 2 values.")


def check_size(vae: Any, size: tuple[int, int]) -> None:
    """``size`` = (width, height) in pixels is one that a VAE can decode."""
    factor = int(vae.spacial_compression_decode())
    width, height = size
    if width % factor or height % factor or min(size) < factor:
        raise SeedStoryError(
            f"Width and height must be multiples of {factor} for this VAE, got {width} x {height}."
        )


def _empty_latent(model: Any, vae: Any, size: tuple[int, int], count: int) -> Tensor:
    import comfy.model_management as management

    check_size(vae, size)
    factor = int(vae.spacial_compression_decode())
    width, height = size
    channels = model.get_model_object("latent_format").latent_channels
    shape = (count, channels, height // factor, width // factor)
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
