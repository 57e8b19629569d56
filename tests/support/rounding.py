"""How far two right computations of one value may lie apart, and that choices are no ties.

A sum of n products is rounded n times, each time by at most half of the dtype's ``eps`` of what
was summed so far. In which order they are summed depends on the processor, on the number of
threads and on how many rows are computed at once, so two right sums differ. Their roundings go up
as often as down and so grow with the root of n, not with n; so do those of sums that read one
another's results. Hence, for values of size ``scale`` out of ``sums`` sums of ``terms`` terms, one
behind the other::

    MARGIN * eps / 2 * sqrt(terms * sums) * scale * swell

MARGIN holds what chance adds: of 10,000 values one is off by 4 standard deviations, two
computations differ by sqrt(2) more, and the factor that is left (about 3) is for kernels that
round on the way (exponentials, norms, sums in blocks).

Where a model reads its own results again, panel after panel, it may swell what they were off by.
Such laws are tested in fp64, or by two readers that go on from one story.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MARGIN = 16
#: Sums behind one another in a transformer layer: two norms, keys and queries, their products,
#: what is attended to, its projection, and two in the MLP.
LAYER = 8


def tolerance(
    dtype: torch.dtype, terms: int, sums: int = 1, scale: float = 1.0, swell: float = 1.0
) -> dict[str, float]:
    """``atol`` and ``rtol`` for `torch.testing.assert_close`.

    Args:
        terms: products in the longest sum, as a layer's width.
        sums: how many sums lie behind one another; `LAYER` in a transformer's layer.
        scale: size of the compared values, where they are of another order than one.
        swell: by how much the model enlarges an error that it reads again.
    """
    share = MARGIN * torch.finfo(dtype).eps / 2 * math.sqrt(terms * sums) * swell
    return {"atol": share * scale, "rtol": share}


def assert_no_tie(scores: Tensor, dtype: torch.dtype, terms: int, sums: int = 1) -> None:
    """The best of ``scores`` [.., V] leads by twice what rounding may move it and the second."""
    best = scores.double().topk(2, dim=-1).values
    lead = float((best[..., 0] - best[..., 1]).min())
    needed = 2 * tolerance(dtype, terms, sums, float(best.abs().max()))["atol"]
    assert lead > needed, f"the best leads by {lead:.2g} only; rounding may take {needed:.2g}"
