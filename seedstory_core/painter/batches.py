"""Painting several panels in one call of the UNet: how many, and their conditioning as one.

A panel's picture depends on nothing beside it: each keeps its own noise and conditioning, and the
samplers of `solvers` treat every picture by itself. Sums of another order change latents in the
last bits of fp32: an 8-bit pixel differs by one level at most (tests/core/painter/test_batches.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..types import Cond, Conditioning

MOST = 8  # panels at once that `fitting` chooses: beyond it, little is won and more lost by a stop
#: Latents that keep a machine busy by themselves, as those of one SDXL picture of 1024 x 1024.
BUSY = 128 * 128
#: Working bytes of an SDXL-type UNet for each latent and each byte of a number, as ComfyUI
#: estimates them (comfy/model_base.py: memory_required, SDXL's memory_usage_factor 0.8).
PER_LATENT = 0.01 * 0.8 * 1024 * 1024
SPARE = 0.5  # share of the free memory that panels may take


def fitting(free_bytes: int, latents: int, itemsize: int) -> int:
    """Panels that are worth painting at once and fit, 1 to `MOST`.

    Args:
        free_bytes: memory free on the painter's device, the weights already there.
        latents: of one picture, its height times its width.
        itemsize: bytes of a number.
    """
    guided = 2  # a picture and its negative
    one = guided * latents * itemsize * PER_LATENT
    return max(1, min(MOST, BUSY // latents, int(SPARE * free_bytes / one)))


def batches(indices: Sequence[int], at_once: int) -> Iterator[list[int]]:
    """``indices`` in runs of at most ``at_once``."""
    for start in range(0, len(indices), max(1, at_once)):
        yield list(indices[start : start + max(1, at_once)])


def joined(panels: Sequence[Conditioning]) -> Conditioning | None:
    """The conditioning of several panels as one of batch B, in their order.

    None where the panels are steered in different ways, as by other numbers of tokens.
    """
    positive = _joined([panel.positive for panel in panels])
    negative = _joined([panel.negative for panel in panels])
    return None if positive is None or negative is None else Conditioning(positive, negative)


def _joined(panels: Sequence[tuple[Cond, ...]]) -> tuple[Cond, ...] | None:
    shapes = {tuple(_shape(cond) for cond in conds) for conds in panels}
    if len(shapes) != 1:
        return None
    return tuple(stacked(conds) for conds in zip(*panels, strict=True))


def stacked(conds: Sequence[Cond]) -> Cond:
    """Conditions of one shape and one span as one, their batches behind each other."""
    first = conds[0]
    pooled = [cond.pooled for cond in conds if cond.pooled is not None]
    tokens = torch.cat([cond.tokens for cond in conds])
    return Cond(tokens, torch.cat(pooled) if pooled else None, first.start, first.end)


def paired(towards: Sequence[Cond], away: Sequence[Cond]) -> Cond | None:
    """What guides towards and what guides away as one batch; None where they differ in shape."""
    if len(towards) != 1 or len(away) != 1:
        return None
    alike = [(*_shape(cond)[:2], len(cond.tokens)) for cond in (*towards, *away)]
    return stacked([*towards, *away]) if alike[0] == alike[1] else None


def _shape(cond: Cond) -> tuple[tuple[int, ...], tuple[int, ...] | None, float, float]:
    """What must agree for conditions to be stacked: all but the batch."""
    pooled: Tensor | None = cond.pooled
    own = None if pooled is None else tuple(pooled.shape[1:])
    return tuple(cond.tokens.shape[1:]), own, cond.start, cond.end
