"""Empty latents in the size and kind of a world's painter."""

from __future__ import annotations

from typing import Any

import torch

from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.world import World
from .vae import compression

SDXL_CHANNELS = 4


def empty_latent(world: World, size: tuple[int, int], batch: int) -> dict[str, Any]:
    """LATENT of zeros [batch, C, h, w] for pictures of ``size`` = (width, height) in pixels.

    Raises:
        SeedStoryError: a side is no multiple of the VAE's compression.
    """
    import comfy.model_management as management

    painter = world.painter or {}
    factor = compression(painter.get("vae") or {})
    channels = int((painter.get("unet") or {}).get("in_channels", SDXL_CHANNELS))
    width, height = size
    if width % factor or height % factor or min(size) < factor:
        own = f"{world.panel_size[0]} x {world.panel_size[1]}"
        raise SeedStoryError(
            f"Width and height must be multiples of {factor} for world {world.name!r}, got "
            f"{width} x {height}. Its own size is {own}: give 0 for that."
        )
    shape = (batch, channels, height // factor, width // factor)
    samples = torch.zeros(shape, device=management.intermediate_device())
    # newer hosts' samplers scale an empty latent whose ratio is not their model's
    return {"samples": samples, "downscale_ratio_spacial": factor}
