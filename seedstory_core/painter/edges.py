"""Edges by Canny's method, as ComfyUI's stock Canny node draws them: hints for a ControlNet.

Edges are taken at a drawn world's own size, where every line is one pixel wide. In a graph that is
the picture scaled to 64 x 64 (nearest-exact), then Canny, then Apply ControlNet; a Canny of the
enlarged picture has lines an eighth of a pixel wide, which are lost when the hint is scaled down.

Source: J. Canny, A Computational Approach to Edge Detection, 1986.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

#: Of the length of the brightness' gradient (Sobel's, a full step is about 2.6): defaults of the
#: stock node.
LOW, HIGH = 0.4, 0.8
GREY = (0.299, 0.587, 0.114)
BLUR = (-2.0, -1.0, 0.0, 1.0, 2.0)  # a Gaussian of one pixel
SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
#: (down, right) to the neighbour in the gradient's direction, in steps of 45 degrees.
NEIGHBOURS = ((0, 1), (1, 1), (1, 0), (1, -1))


def canny(pictures: Tensor, low: float | Tensor = LOW, high: float | Tensor = HIGH) -> Tensor:
    """Pictures [B, 3, H, W] of 0..1 -> edges [B, 1, H, W], 1 on an edge and 0 elsewhere.

    Args:
        low: an edge goes on where the gradient is steeper; one for all, or [B].
        high: and has a point where it is steeper than this.
    """
    across, down = _gradient(_blurred(pictures))
    steep = torch.hypot(across, down)
    ridge = steep * _is_ridge(steep, across, down)
    weak, strong = ridge > _each(low, ridge), ridge > _each(high, ridge)
    while True:
        grown = weak & (F.max_pool2d(strong.float(), 3, 1, 1) > 0)
        if grown.equal(strong):
            return grown.float()
        strong = grown


def hints(edges: Tensor) -> Tensor:
    """Edges [B, 1, H, W] -> what a ControlNet is given, [B, 3, H, W]: white lines on black."""
    return edges.expand(-1, 3, -1, -1)


def agreement(found: Tensor, wanted: Tensor, within: int = 1) -> Tensor:
    """F1 score of edges [B, 1, H, W] against others, [B]; hits may be ``within`` pixels away."""
    near_wanted, near_found = _widened(wanted, within), _widened(found, within)
    tiny = torch.finfo(torch.float32).tiny
    precision = (found * near_wanted).sum((1, 2, 3)) / found.sum((1, 2, 3)).clamp(min=tiny)
    recall = (wanted * near_found).sum((1, 2, 3)) / wanted.sum((1, 2, 3)).clamp(min=tiny)
    return 2 * precision * recall / (precision + recall).clamp(min=tiny)


def _widened(edges: Tensor, by: int) -> Tensor:
    return F.max_pool2d(edges, 2 * by + 1, 1, by)


def _each(threshold: float | Tensor, like: Tensor) -> Tensor:
    """One threshold a picture, [B or 1, 1, 1, 1]."""
    values = torch.as_tensor(threshold, dtype=like.dtype, device=like.device).reshape(-1)
    return rearrange(values, "b -> b 1 1 1")


def _blurred(pictures: Tensor) -> Tensor:
    """[B, 3, H, W] -> blurred brightness [B, 1, H, W]."""
    grey = (pictures * rearrange(pictures.new_tensor(GREY), "c -> c 1 1")).sum(1, keepdim=True)
    line = torch.exp(-pictures.new_tensor(BLUR).square() / 2)
    line = line / line.sum()
    wide = F.pad(grey, (2, 2, 2, 2), mode="reflect")
    return F.conv2d(F.conv2d(wide, line.reshape(1, 1, 1, -1)), line.reshape(1, 1, -1, 1))


def _gradient(grey: Tensor) -> tuple[Tensor, Tensor]:
    """[B, 1, H, W] -> Sobel's gradient to the right and downwards, the same shape each."""
    kernel = grey.new_tensor(SOBEL)
    wide = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    both = F.conv2d(wide, torch.stack([kernel, kernel.T])[:, None])
    return both[:, :1], both[:, 1:]


def _is_ridge(steep: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Where the gradient is longest along its own direction; of two equals, the first."""
    sector = (torch.atan2(down, across) * 4 / torch.pi).round().long() % len(NEIGHBOURS)
    wide, (height, width) = F.pad(steep, (1, 1, 1, 1)), steep.shape[-2:]
    ridge = torch.zeros_like(steep, dtype=torch.bool)
    for number, (y, x) in enumerate(NEIGHBOURS):
        after = wide[..., 1 + y : 1 + y + height, 1 + x : 1 + x + width]
        before = wide[..., 1 - y : 1 - y + height, 1 - x : 1 - x + width]
        ridge |= (sector == number) & (steep >= after) & (steep > before)
    return ridge
