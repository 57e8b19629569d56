"""What frozen encoders make of pictures: latents for the UNet, features for the LLM."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor, nn

from ..engines.seed_story.config import SeedStoryConfig
from ..engines.seed_story.vision import Vision
from ..images import CLIP_MEAN, CLIP_STD
from ..painter.palette_vae import PaletteVae
from ..parts import load_strict
from .cache import Rows, cached_rows, key_of
from .data import Stories
from .pictures import Pixels, load_pictures, vision_pixels
from .stage import Job
from .vae import open_vae

M = TypeVar("M", bound=nn.Module)
_DECODING = ("decoder", "head")


def enlargement(job: Job) -> int:
    """How often a pixel of the world's own size is repeated along each axis outside."""
    return int(job.recipe.vae.get("enlarge", 1))


def frozen(module: M, job: Job) -> M:
    """``module`` for use only, where the job computes."""
    return module.eval().requires_grad_(False).to(job.device)


def open_vision(job: Job) -> Vision:
    """The trained visual tokenizer, frozen."""
    path = job.result("vision", "vision")
    vision = Vision(job.recipe.sizes.vision)
    load_strict(vision, load_file(path), str(path))
    return frozen(vision, job)


def _encoding(vae: PaletteVae) -> dict[str, Tensor]:
    """Weights that make latents; the decoder may be trained on while others work on latents."""
    state = vae.state_dict()
    return {name: value for name, value in state.items() if not name.startswith(_DECODING)}


def pictures_of(job: Job, stories: Stories) -> Pixels:
    """uint8 [N, S, S, 3] of all panels at the world's own size."""
    return load_pictures(stories, job.recipe.native_size, job.cache(), job.progress)


def vision_input(pictures: np.ndarray, enlarge: int, size: int) -> Tensor:
    """uint8 [B, S, S, 3] -> fp32 [B, 3, size, size] as the engine gives them to the tokenizer."""
    pixels = torch.from_numpy(np.array(vision_pixels(pictures, enlarge, size)))
    unit = (pixels.float() / 255 - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)
    return rearrange(unit, "b h w c -> b c h w").contiguous()


def vae_input(pictures: np.ndarray) -> Tensor:
    """uint8 [B, S, S, 3] -> fp32 [B, 3, S, S] of -1..1."""
    pixels = torch.from_numpy(np.array(pictures)).float() / 127.5 - 1
    return rearrange(pixels, "b h w c -> b c h w")


def picture_features(job: Job, stories: Stories) -> Rows:
    """Features [N, L, D] of all panels' pictures."""
    config = job.recipe.sizes.vision
    pictures, enlarge = pictures_of(job, stories), enlargement(job)
    loaded: list[Vision] = []

    @torch.no_grad()
    def compute(start: int, end: int) -> Tensor:
        loaded[:] = loaded or [open_vision(job)]
        pixels = vision_input(pictures[start:end], enlarge, config.image_size)
        return loaded[0](pixels.to(job.device))

    key = key_of(job.result("vision", "vision"), str(config), str(enlarge), digest_of(pictures))
    shape = (config.pool.tokens, config.pool.width)
    name = f"features-{stories.name}"
    return cached_rows(job.cache(), name, key, len(stories), shape, compute, job.progress)


def picture_latents(job: Job, stories: Stories) -> Rows:
    """Latents [N, C, h, w] of all panels' pictures."""
    vae = frozen(open_vae(job), job)
    pictures = pictures_of(job, stories)

    @torch.no_grad()
    def compute(start: int, end: int) -> Tensor:
        return vae.encode_native(vae_input(pictures[start:end]).to(job.device))

    key = key_of(_digest_of_state(_encoding(vae)), digest_of(pictures))
    shape = tuple(compute(0, 1).shape[1:])
    name = f"latents-{stories.name}"
    return cached_rows(job.cache(), name, key, len(stories), shape, compute, job.progress)


def zero_features(vision: Vision, config: SeedStoryConfig) -> Tensor:
    """Features [1, L, D] of the picture of zeros, which stands for no picture at all."""
    side = config.vision.image_size
    like = next(vision.parameters())
    with torch.no_grad():
        return vision(torch.zeros(1, 3, side, side, device=like.device, dtype=like.dtype))


def digest_of(pictures: Pixels) -> str:
    """A digest of all pictures (they are mapped from one file, which is read through)."""
    digest = hashlib.sha256(str(pictures.shape).encode())
    for start in range(0, len(pictures), 4096):
        digest.update(pictures[start : start + 4096].tobytes())
    return digest.hexdigest()


def _digest_of_state(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
