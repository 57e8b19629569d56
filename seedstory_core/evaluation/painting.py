"""Paints many panels at once: a panel's picture depends on its own features only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..engine import Engine
from ..errors import SeedStoryError
from ..images import from_vae
from ..painter import Painter
from ..types import ImageFeatures, PaintSettings, Progress, no_progress
from .probe_net import SIDE

AT_ONCE = 16  # panels in one call of the UNet
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class PanelPainter:
    """Engine, painter and settings of one world, painting features in batches.

    Attributes:
        settings: steps and guidance; seeds are given panel by panel.
        identity: tells painters apart, as by the hashes of their files.
    """

    engine: Engine
    painter: Painter
    settings: PaintSettings
    identity: str = ""
    at_once: int = AT_ONCE

    def paint(
        self, features: ImageFeatures, seeds: Sequence[int], progress: Progress = no_progress
    ) -> Pixels:
        """Features of N pictures and N noise seeds -> uint8 [N, 64, 64, 3]."""
        if len(features) != len(seeds):
            raise SeedStoryError(f"{len(features)} pictures need as many seeds, got {len(seeds)}.")
        pictures = [np.zeros((0, SIDE, SIDE, 3), np.uint8)]
        for start in range(0, len(seeds), self.at_once):
            chosen = seeds[start : start + self.at_once]
            rows = features.tensor[start : start + len(chosen)]
            conditioning = self.engine.condition_features(replace(features, tensor=rows))
            size = self.settings.size or self.painter.size
            noise = torch.cat([self.painter.noise(seed, size) for seed in chosen])
            report = _Share(progress, start, len(chosen), len(seeds))
            latents = self.painter.sample(conditioning, noise, self.settings, report)
            pictures.append(shrink(torch.stack(from_vae(self.painter.decode(latents)))))
        return np.concatenate(pictures)


def shrink(pictures: Tensor) -> Pixels:
    """uint8 [N, H, W, 3] -> uint8 [N, 64, 64, 3]: the pixel that stands for each square.

    Exact for pictures enlarged by a whole factor; the middle of each square otherwise.

    Raises:
        SeedStoryError: sides that are no multiples of 64.
    """
    height, width = pictures.shape[1:3]
    if height % SIDE or width % SIDE:
        raise SeedStoryError(
            f"The probes read pictures whose sides are multiples of {SIDE}, got {width} x {height}."
        )
    down, across = height // SIDE, width // SIDE
    return pictures[:, down // 2 :: down, across // 2 :: across].contiguous().numpy()


@dataclass(frozen=True)
class _Share:
    """Reports the steps of one batch as its share of all panels."""

    progress: Progress
    before: int
    batch: int
    panels: int

    def __call__(self, done: int, total: int, note: str = "") -> None:
        self.progress(self.before * total + done * self.batch, self.panels * total, note)
