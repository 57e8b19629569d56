"""Picture features: how they are made, the name of their space, and whether they fit a world."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import SeedStoryError
from ...images import clip_input
from ...parts import Part
from ...story import check_features
from ...types import Panel
from .config import SeedStoryConfig, VisionConfig
from .vision import Vision

SPACE = "seed_story.image"  # feature space: [256, D] a picture, what `Vision` gives
AT_ONCE = 4  # pictures in one pass of the visual tokenizer

_sound: dict[int, weakref.ref[Tensor]] = {}  # tensors alive whose numbers were checked


def encoded(part: Part[Vision], config: VisionConfig, images: Sequence[Tensor]) -> Tensor:
    """uint8 [H, W, 3] each, one or more -> features [N, L, D] on the CPU."""
    widest = (config.image_size // config.patch) ** 2 * (config.mlp_width + 4 * config.width)
    rows = []
    for start in range(0, len(images), AT_ONCE):
        some = images[start : start + AT_ONCE]
        with torch.inference_mode():
            pixels = clip_input(some, config.image_size).to(part.device, part.dtype)
            module = part.acquire(len(some) * widest * part.dtype.itemsize)
            rows.append(module(pixels).cpu())
    return torch.cat(rows)


def panel_features(panel: Panel, index: int, config: SeedStoryConfig) -> Tensor:
    """The features [256, D] of panel ``index``.

    Raises:
        SeedStoryError: it has none, or such as cannot be read.
    """
    row = panel.features.get(SPACE)
    if row is None:
        raise SeedStoryError(
            f"Panel {index} has no {SPACE!r} features, so it cannot be read or painted."
        )
    return checked(row, f"panel {index}", config)


def checked(row: Tensor, what: str, config: SeedStoryConfig) -> Tensor:
    """``row`` if it is [256, D] of this world's sizes and finite; its numbers are looked at once.

    Raises:
        SeedStoryError: another shape, NaN or infinite numbers.
    """
    pool = config.vision.pool
    if tuple(row.shape) != (pool.tokens, pool.width):
        raise SeedStoryError(
            f"The features of {what} have the shape {list(row.shape)}, this world's are "
            f"{[pool.tokens, pool.width]}. They belong to another world."
        )
    key = id(row)
    known = _sound.get(key)
    if known is None or known() is not row:
        check_features({SPACE: row}, what)
        _sound[key] = weakref.ref(row, lambda _: _sound.pop(key, None))
    return row
