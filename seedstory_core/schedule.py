"""The reference's noise schedule: which noise levels a sampler steps through. torch only.

Equal to diffusers' EulerDiscreteScheduler (schedulers/scheduling_euler_discrete.py), so that a host
with its own Euler sampler (ComfyUI's takes SIGMAS) paints what the reference paints. Keys of a
``scheduler`` mapping are diffusers' own; what it lacks is taken from `SDXL`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .errors import SeedStoryError

#: What SDXL base and the released de-tokenizer use.
SDXL: Mapping[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "rescale_betas_zero_snr": False,
}

# diffusers keeps the last alpha at fp16's smallest number, where it would be 0 and sigma infinite.
ZERO_SNR_ALPHA = 2**-24


def euler_sigmas(steps: int, scheduler: Mapping[str, Any] | None = None) -> Tensor:
    """Noise levels [steps + 1] fp32 from the largest down to the final 0."""
    config = {**SDXL, **(scheduler or {})}
    sigmas = _all_sigmas(config)
    return torch.cat([sigmas[_indices(steps, config)], torch.zeros(1)])


def euler_timesteps(steps: int, scheduler: Mapping[str, Any] | None = None) -> Tensor:
    """What the UNet is told at each step, [steps] fp32, beginning with the noisiest."""
    config = {**SDXL, **(scheduler or {})}
    return _timesteps(steps, config).float()


def init_noise_sigma(sigmas: Tensor, scheduler: Mapping[str, Any] | None = None) -> float:
    """What unit noise is multiplied by before the first step."""
    config = {**SDXL, **(scheduler or {})}
    top = float(sigmas.max())
    return top if config["timestep_spacing"] in ("linspace", "trailing") else (top**2 + 1) ** 0.5


def _all_sigmas(config: Mapping[str, Any]) -> Tensor:
    """The noise level of every training timestep, [T] fp32, rising."""
    count = int(config["num_train_timesteps"])
    start, end = float(config["beta_start"]), float(config["beta_end"])
    if config["beta_schedule"] == "scaled_linear":
        betas = torch.linspace(start**0.5, end**0.5, count, dtype=torch.float32) ** 2
    elif config["beta_schedule"] == "linear":
        betas = torch.linspace(start, end, count, dtype=torch.float32)
    else:
        raise SeedStoryError(
            f"The beta schedule {config['beta_schedule']!r} is not known; expected scaled_linear "
            "or linear in the world's scheduler settings."
        )
    if config["rescale_betas_zero_snr"]:
        betas = _zero_snr(betas)
    alphas = (1 - betas).cumprod(0)
    if config["rescale_betas_zero_snr"]:
        alphas[-1] = ZERO_SNR_ALPHA
    return ((1 - alphas) / alphas) ** 0.5


def _zero_snr(betas: Tensor) -> Tensor:
    """Betas [T] rescaled so that the last step is pure noise (arXiv 2305.08891, algorithm 1)."""
    root = (1 - betas).cumprod(0).sqrt()
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    bar = root**2
    return 1 - torch.cat([bar[:1], bar[1:] / bar[:-1]])


def _timesteps(steps: int, config: Mapping[str, Any]) -> Tensor:
    """Training timesteps [steps] int64, falling."""
    count = int(config["num_train_timesteps"])
    if not 1 <= steps <= count:
        raise SeedStoryError(f"Sampling takes 1 to {count} steps, got {steps}.")
    if config["timestep_spacing"] == "leading":
        offset = int(config["steps_offset"])
        return torch.arange(steps - 1, -1, -1) * (count // steps) + offset
    if config["timestep_spacing"] == "trailing":
        spaced = torch.arange(count, 0, -count / steps, dtype=torch.float64)
        return spaced.round().long() - 1
    raise SeedStoryError(
        f"The timestep spacing {config['timestep_spacing']!r} is not known; expected leading or "
        "trailing in the world's scheduler settings."
    )


def _indices(steps: int, config: Mapping[str, Any]) -> Tensor:
    return _timesteps(steps, config).clamp(0, int(config["num_train_timesteps"]) - 1)
