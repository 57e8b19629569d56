"""Shares with 95 % intervals: panels of one story are no independent draws, so stories are drawn.

The bootstrap draws whole stories with replacement (Efron and Tibshirani, An Introduction to the
Bootstrap, 1993, section 8.5: resample the independent unit). Wilson's interval (1927), which takes
panels for independent, stands beside it as a cross-check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from ..errors import SeedStoryError

DRAWS = 2000
Z95 = 1.959964  # two-sided 95 % of the normal distribution


@dataclass(frozen=True)
class Share:
    """How many of something are right.

    Attributes:
        value: share that is right, 0 to 1.
        low, high: 95 % by the bootstrap over clusters. Where all are alike there is nothing to
            draw from, and Wilson's interval stands here instead.
        wilson_low, wilson_high: 95 % as if all were independent.
        count: how many were judged; ``clusters``: from how many stories.
    """

    value: float
    low: float
    high: float
    wilson_low: float
    wilson_high: float
    count: int
    clusters: int

    def to_json(self) -> dict[str, float | int]:
        """Rounded to four digits, which is finer than any interval here."""
        return {
            key: round(value, 4) if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Difference:
    """How much better one series is than another on the same stories.

    Attributes:
        value: share of the one minus share of the other, -1 to 1.
        low, high: 95 % by the bootstrap over clusters.
    """

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Rounded to four digits."""
        return {key: round(value, 4) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Mean:
    """The mean of a measure.

    Attributes:
        low, high: 95 % by the bootstrap over clusters.
        count: how many were measured; ``clusters``: from how many stories.
    """

    value: float
    low: float
    high: float
    count: int
    clusters: int

    def to_json(self) -> dict[str, float | int]:
        """Rounded to four digits."""
        return {
            key: round(value, 4) if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }


def wilson(right: int, count: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's interval for ``right`` of ``count`` independent trials.

    Raises:
        SeedStoryError: nothing was counted.
    """
    if count < 1 or not 0 <= right <= count:
        raise SeedStoryError(f"An interval needs 0 to n right of n >= 1, got {right} of {count}.")
    share = right / count
    centre = share + z * z / (2 * count)
    spread = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def share_of(right: Sequence[bool], clusters: Sequence[int], seed: int = 0) -> Share:
    """The share of true values in ``right``; ``clusters`` says which story each belongs to.

    Raises:
        SeedStoryError: nothing to count, or the two differ in length.
    """
    sums, sizes = _per_cluster(right, clusters)
    count, total = int(sizes.sum()), int(sums.sum())
    wilson_low, wilson_high = wilson(total, count)
    low, high = wilson_low, wilson_high
    if 0 < total < count and len(sizes) > 1:
        low, high = _percentiles(_draw(sums, sizes, seed))
    return Share(total / count, low, high, wilson_low, wilson_high, count, len(sizes))


def difference_of(
    ours: Sequence[bool], theirs: Sequence[bool], clusters: Sequence[int], seed: int = 0
) -> Difference:
    """Share of ``ours`` minus share of ``theirs``, judged on the same things in the same order.

    Raises:
        SeedStoryError: nothing to count, or they differ in length.
    """
    our_sums, sizes = _per_cluster(ours, clusters)
    their_sums, _ = _per_cluster(theirs, clusters)
    drawn = _draw(our_sums - their_sums, sizes, seed)
    low, high = _percentiles(drawn)
    return Difference(float((our_sums - their_sums).sum() / sizes.sum()), low, high)


def mean_of(
    values: Sequence[float] | npt.NDArray[np.float64], clusters: Sequence[int], seed: int = 0
) -> Mean:
    """The mean of ``values``; ``clusters`` says which story each belongs to.

    Raises:
        SeedStoryError: nothing to count, or the two differ in length.
    """
    sums, sizes = _per_cluster(values, clusters)
    low, high = _percentiles(_draw(sums, sizes, seed))
    return Mean(float(sums.sum() / sizes.sum()), low, high, int(sizes.sum()), len(sizes))


def _per_cluster(
    right: Sequence[float] | npt.NDArray[np.float64], clusters: Sequence[int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """How many are right (or the sum of values) and how many there are, for each cluster."""
    if not len(right) or len(right) != len(clusters):
        raise SeedStoryError(
            f"Expected as many clusters as values and at least one, got {len(clusters)} and "
            f"{len(right)}."
        )
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(index, weights=np.asarray(right, dtype=np.float64)).astype(np.float64)
    return sums, np.bincount(index).astype(np.float64)


def _draw(
    sums: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64], seed: int
) -> npt.NDArray[np.float64]:
    """The ratio of totals in each of `DRAWS` resamplings of the clusters."""
    rows = np.random.default_rng(seed).integers(0, len(sizes), (DRAWS, len(sizes)))
    return sums[rows].sum(1) / sizes[rows].sum(1)


def _percentiles(drawn: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)
