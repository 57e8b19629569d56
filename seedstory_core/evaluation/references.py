"""Ceilings and floors: the same panels drawn truly, by parts of the world, and by nothing learnt.

All are judged by the captions of true held-out stories, so that they differ in the picture only:

* ``render``: the true pictures; what the probes themselves miss.
* ``vae``: true pictures through the VAE and back.
* ``true_features``: features that the visual tokenizer reads in the true pictures, painted.
* ``shuffled``: true features, each panel painted with those of another one.
* ``untrained``: true features, painted by a de-tokenizer and UNet of random weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..engine import Engine
from ..images import enlarge
from ..painter import Painter
from ..picture_world.palette import PALETTE
from ..types import ImageFeatures, Progress, no_progress
from .painting import PanelPainter, Pixels, shrink
from .probe_net import SIDE
from .starts import Start

RENDER, VAE, TRUE_FEATURES = "render", "vae", "true_features"
SHUFFLED, UNTRAINED = "shuffled", "untrained"
CEILINGS, FLOORS = (RENDER, VAE, TRUE_FEATURES), (SHUFFLED, UNTRAINED)
BATCH = 32


def true_pictures(starts: Sequence[Start]) -> list[Pixels]:
    """The true renders of each story."""
    return [start.pictures for start in starts if start.pictures is not None]


def through_vae(painter: Painter, pictures: Pixels) -> Pixels:
    """uint8 [N, 64, 64, 3] encoded and decoded again."""
    from ..images import from_vae, to_vae

    back = [np.zeros((0, SIDE, SIDE, 3), np.uint8)]
    factor = painter.size[0] // SIDE
    for start in range(0, len(pictures), BATCH):
        some = [enlarge(torch.from_numpy(p), factor) for p in pictures[start : start + BATCH]]
        pixels = to_vae(some).to(painter.device, painter.dtype)
        with torch.no_grad():
            encoded = painter.vae.encode(pixels)
            scale = 1.0
            if not isinstance(encoded, Tensor):  # diffusers' AutoencoderKL
                encoded = encoded.latent_dist.mode()
                scale = painter.vae.config.scaling_factor
            decoded = painter.decode(encoded.float() * scale)
        back.append(shrink(torch.stack(from_vae(decoded))))
    return np.concatenate(back)


def exact_share(ours: Pixels, truth: Pixels) -> float:
    """Share of pixels whose nearest palette colour is the true one."""
    return float((nearest(ours) == nearest(truth)).mean())


def nearest(pictures: Pixels) -> Pixels:
    """uint8 [..., 3] -> index of the nearest palette colour [...]."""
    colours, back = np.unique(pictures.reshape(-1, 3), axis=0, return_inverse=True)
    away = ((colours[:, None].astype(np.int32) - PALETTE[None].astype(np.int32)) ** 2).sum(-1)
    return away.argmin(1).astype(np.uint8)[back.reshape(-1)].reshape(pictures.shape[:-1])


def read_features(engine: Engine, stories: Sequence[Pixels]) -> ImageFeatures:
    """The visual tokenizer's features of all pictures of all stories, one after the other."""
    pictures = [torch.from_numpy(picture) for story in stories for picture in story]
    return engine.encode(pictures)


def paint_rows(
    painter: PanelPainter,
    features: ImageFeatures,
    lengths: Sequence[int],
    seed: int = 0,
    progress: Progress = no_progress,
) -> list[Pixels]:
    """Paint features of stories laid end to end, each picture with a noise of its own."""
    count = len(features)
    pictures = painter.paint(features, [seed * 1_000_003 + i for i in range(count)], progress)
    return np.split(pictures, np.cumsum(lengths)[:-1])


def shuffled(features: ImageFeatures, seed: int = 0) -> ImageFeatures:
    """The same rows in another order, none in its own place."""
    count = len(features)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    moved = torch.empty_like(features.tensor)
    moved[order] = features.tensor[order.roll(1)]
    return replace(features, tensor=moved)
