"""Cases: de-tokenizer, noise schedule, UNet, three sampling steps, the painter's training loss."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..images import clip_input, read_picture
from ..schedule import euler_sigmas, euler_timesteps, init_noise_sigma
from .check import Check
from .models import Models

IO = "detokenizer_io"
GUIDANCE = 7.5


def prompt_embeds(models: Models, check: Check) -> None:
    """Told features to conditioning."""
    tensors = models.goldens.tensors(IO)
    tokens, pooled = models.detokenizer(_told_features(models))
    check.close("prompt_embeds", tokens, tensors["prompt_embeds"], models.goldens.tolerance(IO))
    check.close("pooled", pooled, tensors["pooled"], models.goldens.tolerance(IO))


def _told_features(models: Models) -> Tensor:
    """The longest generation's features, which the recorded conditioning was made from."""
    tensors = {**models.goldens.tensors("generate_io"), **models.goldens.tensors(IO)}
    if "image_embeds" in models.goldens.tensors(IO):
        return tensors["image_embeds"]
    told = [key for key in tensors if key.startswith("img_gen_feat")]
    return tensors[max(told, key=lambda key: int(re.sub(r"\D", "", key) or 0))]


def negative_embeds(models: Models, check: Check) -> None:
    """The constant negative: a mean-coloured picture, from pixels to conditioning."""
    tensors, size = models.goldens.tensors(IO), models.config.vision.image_size
    tokens, pooled = models.detokenizer(models.vision(torch.zeros(1, 3, size, size)))
    tolerance = models.goldens.tolerance(IO)
    check.close("negative_prompt_embeds", tokens, tensors["negative_prompt_embeds"], tolerance)
    check.close("negative_pooled", pooled, tensors["negative_pooled"], tolerance)


def picture_embeds(models: Models, check: Check) -> None:
    """A picture file to conditioning."""
    tensors, tolerance = models.goldens.tensors(IO), models.goldens.tolerance(IO)
    picture = read_picture(models.goldens.folder / "preproc_input.png")
    pixels = clip_input([picture], models.config.vision.image_size)
    tokens, pooled = models.detokenizer(models.vision(pixels))
    check.close("pil_prompt_embeds", tokens, tensors["pil_prompt_embeds"], tolerance)
    check.close("pil_pooled", pooled, tensors["pil_pooled"], tolerance)


def schedule(models: Models, check: Check) -> None:
    """Sigmas and timesteps of every recorded number of steps."""
    tensors, tolerance = models.goldens.tensors(IO), models.goldens.tolerance(IO)
    scheduler = models.goldens.record("scheduler_config")
    for name, want in tensors.items():
        match = re.fullmatch(r"euler(\d+)_(sigmas|timesteps|init_noise_sigma)", name)
        if match:
            sigmas = euler_sigmas(int(match[1]), scheduler)
            got = {
                "sigmas": sigmas,
                "timesteps": euler_timesteps(int(match[1]), scheduler),
                "init_noise_sigma": torch.tensor([init_noise_sigma(sigmas, scheduler)]),
            }[match[2]]
            check.close(name, got, want, tolerance)


def noise_prediction(models: Models, check: Check) -> None:
    tensors = models.goldens.tensors(IO)
    got = _predict(models, tensors, tensors["unet_in_latents"], tensors["unet_timestep"])
    check.close("unet_noise_pred", got, tensors["unet_noise_pred"], models.goldens.tolerance(IO))


def _predict(
    models: Models, tensors: Mapping[str, Tensor], latents: Tensor, timestep: Tensor, side: str = ""
) -> Tensor:
    """Noise in latents [1, C, H, W]; ``side`` is "" or "negative_"."""
    added = {"text_embeds": tensors[f"{side}pooled"], "time_ids": tensors["time_ids"]}
    tokens = tensors[f"{side}prompt_embeds"]
    return models.unet(latents, timestep, tokens, added_cond_kwargs=added).sample


def denoising(models: Models, check: Check) -> None:
    """Euler steps with guidance: both predictions and the latents after each step."""
    tensors, tolerance = models.goldens.tensors(IO), models.goldens.tolerance(IO)
    latents_tolerance = models.goldens.tolerance(IO, "latents_atol")
    start = next(name for name in tensors if re.fullmatch(r"euler\d+_init_noise", name))
    prefix = start.removesuffix("init_noise")
    steps = len(tensors[f"{prefix}timesteps"])
    scheduler = models.goldens.record("scheduler_config")
    sigmas, timesteps = euler_sigmas(steps, scheduler), euler_timesteps(steps, scheduler)
    guidance = float(models.goldens.config.get("guidance", GUIDANCE))
    latents = tensors[start] * init_noise_sigma(sigmas, scheduler)
    for i in range(steps):
        scaled = latents / (sigmas[i] ** 2 + 1) ** 0.5
        against = _predict(models, tensors, scaled, timesteps[i], "negative_")
        towards = _predict(models, tensors, scaled, timesteps[i])
        both = f"{prefix}noise_pred_step{i}_uncond_cond"
        if both in tensors:
            check.close(both, torch.cat((against, towards)), tensors[both], tolerance)
        noise = against + guidance * (towards - against)
        latents = latents + noise * (sigmas[i + 1] - sigmas[i])
        after = f"{prefix}latents_after_step{i}"
        if after in tensors:
            check.close(after, latents, tensors[after], latents_tolerance)
    final = f"{prefix}final_latents"
    check.close(final, latents, tensors[final], latents_tolerance)


def painter_loss(models: Models, check: Check) -> None:
    """Stage 3 of the training: noised latents, predicted noise, mean squared error."""
    diffusers: Any = import_module("diffusers")  # its lazy exports are opaque to type checkers
    tensors, tolerance = models.goldens.tensors(IO), models.goldens.tolerance(IO)
    scheduler = diffusers.DDPMScheduler.from_config(models.goldens.record("scheduler_config"))
    latents, noise = tensors["stage3_latents"], tensors["stage3_noise"]
    noisy = scheduler.add_noise(latents, noise, tensors["stage3_timesteps"])
    got = _predict(models, tensors, noisy, tensors["stage3_timesteps"])
    check.close("stage3_noisy", noisy, tensors["stage3_noisy"], tolerance)
    check.close("stage3_noise_pred", got, tensors["stage3_noise_pred"], tolerance)
    loss = F.mse_loss(got, noise)
    check.close("stage3_loss", loss[None], tensors["stage3_loss"].reshape(1), tolerance)
