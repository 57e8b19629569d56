"""Stage A: features and latents of all pictures by the world's own frozen encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..engine import open_engine
from ..engines.seed_story.engine import SeedStoryEngine
from ..engines.seed_story.vision import Vision
from ..hosts import local_host
from ..images import enlarge, read_picture, to_vae
from ..painter import open_painter
from ..painter.palette_vae import PaletteVae
from ..world import World
from .adapt_base import digest_of_files
from .adapt_data import digest_of_data
from .cache import Rows, cached_rows, key_of
from .data import Stories
from .encoded import zero_features
from .pictures import to_native
from .stage import Progress

PIXELS = 1 << 20  # in one pass of the VAE


@dataclass(frozen=True, eq=False)
class Encoded:
    """Rows of every panel.

    Attributes:
        zero: features [L, D] of no picture.
    """

    features: Rows
    latents: Rows
    zero: Tensor


def encode(
    world: World,
    stories: Stories,
    cache: Path,
    device: torch.device,
    progress: Progress,
    dtype: torch.dtype = torch.float32,
    mapped: bool = False,
    base: Path | None = None,
) -> Encoded:
    """Encode, or take up what ``cache`` has of the same pictures and the same world.

    Args:
        dtype: of the visual tokenizer. ``mapped``: its weights stay in their file (CPU only).
        base: SDXL base, for worlds without a VAE of their own.

    Raises:
        SeedStoryError: a picture cannot be read, or the world needs ``base`` for its VAE.
    """
    key = key_of(digest_of_files(world), digest_of_data(stories), str(dtype))
    paths, features_shape = stories.paths, _features_shape(world)
    eyes: list[SeedStoryEngine] = []
    vaes: list[Any] = []

    def eye() -> SeedStoryEngine:
        if not eyes:
            opened = open_engine(world, local_host(device, dtype, mapped))
            assert isinstance(opened, SeedStoryEngine)
            eyes.append(opened)
        return eyes[0]

    def vae() -> Any:
        if not vaes:
            vaes.append(open_painter(world, base, device).vae)
        return vaes[0]

    def features(start: int, end: int) -> Tensor:
        engine = eye()
        return engine.encode([shown(path, world) for path in paths[start:end]]).tensor

    def latents(start: int, end: int) -> Tensor:
        return latents_of(vae(), [shown(path, world) for path in paths[start:end]], device)

    count = len(stories)
    rows = cached_rows(cache, "features", key, count, features_shape, features, progress)
    module: Vision = eye().parts["vision"].acquire()
    zero = zero_features(module, eye().config)[0].float().cpu()
    eyes.clear()
    shape = _latent_shape(world)
    return Encoded(rows, cached_rows(cache, "latents", key, count, shape, latents, progress), zero)


def shown(path: Path, world: World) -> Tensor:
    """A picture file as the world shows its own, uint8 [H, W, 3] of its panel size.

    A palette world's picture is brought to its own small size first, each pixel a square then.
    """
    picture = read_picture(path).numpy()
    width, height = world.panel_size
    factor = int(((world.painter or {}).get("vae") or {}).get("enlarge", 1))
    if width == height:
        small = to_native(picture, width // factor)
        return enlarge(torch.from_numpy(np.ascontiguousarray(small)), factor)
    from PIL import Image

    resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(resized))


@torch.no_grad()
def latents_of(vae: Any, pictures: Sequence[Tensor], device: torch.device) -> Tensor:
    """uint8 [H, W, 3] each -> scaled latents [B, C, h, w]."""
    found, height, width = [], *pictures[0].shape[:2]
    count = max(1, PIXELS // (height * width))
    for start in range(0, len(pictures), count):
        pixels = to_vae(pictures[start : start + count]).to(device)
        if isinstance(vae, PaletteVae):
            found.append(vae.encode(pixels))
            continue
        pixels = pixels.to(next(vae.parameters()).dtype)
        found.append(vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor)
    return torch.cat(found)


def _features_shape(world: World) -> tuple[int, int]:
    from .works import Shapes

    return Shapes.of(world, 2, 1).features


def _latent_shape(world: World) -> tuple[int, ...]:
    from .works import Shapes

    return Shapes.of(world, 2, 1).latent
