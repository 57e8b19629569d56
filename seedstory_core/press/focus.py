"""Which part of a picture a crop should keep: the part with most to see."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

SIDE = 64  # pixels that are looked at
CENTRE = 0.25  # how much less the edge counts than the middle, among equals


def focus(image: Tensor, width: float, height: float) -> tuple[float, float]:
    """Where a crop of a picture shows most of what is drawn on it.

    Edges are counted, as figures have more of them than skies and meadows.

    Args:
        image: uint8 [H, W, 3]. ``width``, ``height``: of the crop, in any unit.

    Returns: how far the crop is moved, across and down: 0 is left or top, 0.5 the middle.
    """
    grey = image.float().mean(-1)[None, None]  # [1, 1, H, W]
    small = interpolate(grey, size=(SIDE, SIDE), mode="area")[0, 0]
    edges = torch.zeros_like(small)
    edges[:, 1:] += (small[:, 1:] - small[:, :-1]).abs()
    edges[1:] += (small[1:] - small[:-1]).abs()
    high, wide = image.shape[:2]
    scale = max(width / wide, height / high)
    across = _best(edges.sum(0), width / (wide * scale))
    return across, _best(edges.sum(1), height / (high * scale))


def _best(profile: Tensor, share: float) -> float:
    """Where along ``profile`` [SIDE] a window of that share holds most."""
    length = max(1, min(SIDE, round(share * SIDE)))
    free = SIDE - length
    if not free:
        return 0.5
    ends = torch.cat((profile.new_zeros(1), profile.cumsum(0)))
    held = ends[length:] - ends[: free + 1]  # of each place of the window
    off = (torch.arange(free + 1) / free - 0.5).abs() * 2
    return float(((held + 1) * (1 - CENTRE * off)).argmax()) / free
