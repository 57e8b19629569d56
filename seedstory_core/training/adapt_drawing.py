"""Stage D of an adaptation: the VAE of a drawn world learns to draw what is new.

Such a VAE knows few colours and shapes, and no others. Only its decoder learns, so latents stay
what they are; pictures of the new series teach it, rehearsed ones keep what it knew.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..painter import open_painter
from ..painter.palette_vae import KIND, PaletteVae
from ..world import World
from .adapt_data import Lessons
from .adapt_encode import shown
from .cache import Rows
from .recipe import StageSettings
from .stage import generator_of, part
from .vae import NOISE, PIXELS, PaletteTraining

DRAWING = "vae-decoder"
LEARNING = ("decoder.", "head.")
CHECKED = 32  # pictures of each kind


def draws(world: World) -> bool:
    """Whether the world's pictures are of a palette that its own VAE knows."""
    vae = (world.painter or {}).get("vae") or {}
    return "vae" in world.files and vae.get("kind") == KIND


def choose_drawn(module: PaletteTraining) -> None:
    """Train the decoder."""
    for name, value in module.vae.named_parameters():
        value.requires_grad_(name.startswith(LEARNING))


def open_drawing(world: World, base: Path | None = None) -> PaletteTraining:
    """The world's VAE, its decoder to be trained."""
    vae = open_painter(world, base).vae
    assert isinstance(vae, PaletteVae)
    module = PaletteTraining(vae.train())
    choose_drawn(module)
    return module


def colours_of(lessons: Lessons, world: World) -> np.ndarray:
    """uint8 [N, H * W]: of each pixel of all pictures the nearest of the palette's colours."""
    vae = (world.painter or {})["vae"]
    factor = int(vae.get("enlarge", 1))
    palette = np.array([list(colour) for colour in vae["palette"]], np.int32)
    found = []
    for path in lessons.stories.paths:
        small = shown(path, world).numpy()[::factor, ::factor].reshape(-1, 3)
        colours, back = np.unique(small, axis=0, return_inverse=True)
        away = np.square(colours[:, None].astype(np.int32) - palette[None]).sum(-1)
        found.append(away.argmin(1).astype(np.uint8)[back.reshape(-1)])
    return np.stack(found)


class DrawStage:
    """The decoder on latents with noise, as in the base's training.

    Args:
        latents: rows [C, h, w]. ``colours``: `colours_of` the same pictures.
        share: of rehearsed pictures in every batch.
    """

    name = DRAWING

    def __init__(
        self,
        module: PaletteTraining,
        settings: StageSettings,
        lessons: Lessons,
        latents: Rows,
        colours: np.ndarray,
        share: float,
    ) -> None:
        self.module, self.settings = module, settings
        self.latents, self.colours, self._lessons = latents, colours, lessons
        self._share = share if lessons.rehearsed else 0.0

    def batch(self, step: int, rank: int, size: int) -> dict[str, Tensor]:
        """See `Stage.batch`."""
        count, draw = self.settings.batch, generator_of(self.settings.seed, self.name, step)
        old = torch.rand(count, generator=draw) < self._share
        at, new = torch.rand(count, generator=draw), self._lessons.new
        rows = torch.where(old, new + at * self._lessons.rehearsed, at * new).long()
        rows = rows.clamp(max=len(self.colours) - 1)
        points = min(PIXELS, self.colours.shape[1])
        places = torch.randint(self.colours.shape[1], (count, points), generator=draw)
        sigma = torch.rand(count, 1, 1, 1, generator=draw) * NOISE
        noise = sigma * torch.randn(count, *self.latents.shape, generator=draw)
        batch = self._batch(part(rows, rank, size), part(places, rank, size))
        return {**batch, "noise": part(noise, rank, size)}

    def _batch(self, rows: Tensor, places: Tensor) -> dict[str, Tensor]:
        classes = torch.from_numpy(self.colours[rows.numpy()].astype(np.int64))
        latents = self.latents.take(rows)
        return {"latents": latents, "places": places, "classes": classes.gather(1, places)}

    @torch.no_grad()
    def check(self, module: nn.Module) -> dict[str, float]:
        """The loss and the share of right pixels on pictures of each kind, whole, without noise."""
        device, figures = next(module.parameters()).device, {}
        every, new = len(self.colours), self._lessons.new
        for name, first, end in (("new", 0, new), ("rehearsed", new, every)):
            if first == end:
                continue
            rows = torch.arange(first, min(end, first + CHECKED))
            places = torch.arange(self.colours.shape[1]).expand(len(rows), -1)
            batch = {**self._batch(rows, places), "noise": torch.zeros(())}
            scalars = module({key: value.to(device) for key, value in batch.items()})
            figures |= {f"{name}_{key}": float(value) for key, value in scalars.items()}
        return figures

    def result(self, module: nn.Module) -> dict[str, Mapping[str, Tensor]]:
        """``{"changes": ...}``: what was trained, under the world's names."""
        assert isinstance(module, PaletteTraining)
        trained = {n: value for n, value in module.vae.named_parameters() if value.requires_grad}
        return {"changes": trained}
