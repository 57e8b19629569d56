"""Intervals: their laws, and that they hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from seedstory_core.errors import SeedStoryError
from seedstory_core.evaluation.intervals import difference_of, share_of, wilson


def test_wilson_as_published() -> None:
    """Newcombe 1998, table I: 81 of 263 gives .2553 to .3662, 0 of 20 gives 0 to .1611."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(20, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)


@pytest.mark.parametrize(("right", "count"), [(0, 0), (3, 2), (-1, 5)])
def test_wilson_refuses_what_cannot_be(right: int, count: int) -> None:
    with pytest.raises(SeedStoryError, match="right of n"):
        wilson(right, count)


def test_the_share_lies_inside_and_more_stories_narrow_it() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for stories in (10, 60, 360):
        right = (rng.random(stories * 10) < 0.8).tolist()
        share = share_of(right, [index // 10 for index in range(len(right))])
        assert share.low <= share.value <= share.high
        assert (share.count, share.clusters) == (stories * 10, stories)
        widths.append(share.high - share.low)
    assert widths[0] > widths[1] > widths[2]


def test_panels_that_fail_together_widen_the_interval() -> None:
    stories = [index // 10 for index in range(200)]
    together = [story % 5 != 0 for story in stories]
    scattered = [index % 5 != 0 for index in range(200)]
    wide, narrow = share_of(together, stories), share_of(scattered, stories)
    assert wide.value == narrow.value == 0.8
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)
    assert (wide.wilson_low, wide.wilson_high) == (narrow.wilson_low, narrow.wilson_high)


def test_where_all_are_alike_wilson_stands_in() -> None:
    share = share_of([True] * 50, [index // 10 for index in range(50)])
    assert (share.low, share.high) == (share.wilson_low, share.wilson_high)
    assert 0.9 < share.low < 1 and share.value == 1


def test_the_bootstrap_covers_the_truth() -> None:
    """95 % intervals of clustered draws hold the true share about that often."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(100):
        chance = rng.beta(16, 4, size=40)  # every story has a chance of its own, 0.8 on average
        right = (rng.random((40, 10)) < chance[:, None]).reshape(-1).tolist()
        share = share_of(right, [index // 10 for index in range(400)])
        held += share.low <= 0.8 <= share.high
    assert held >= 88


def test_the_same_seed_gives_the_same_interval() -> None:
    right = [index % 7 != 0 for index in range(70)]
    stories = [index // 7 for index in range(70)]
    assert share_of(right, stories, 3) == share_of(right, stories, 3)


def test_differences_are_paired() -> None:
    """Two series that fail on the same panels differ by nothing, without doubt."""
    stories = [index // 10 for index in range(100)]
    ours = [index % 4 != 0 for index in range(100)]
    same = difference_of(ours, ours, stories)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    worse = difference_of(ours, [False] * 100, stories)
    assert worse.value == 0.75 and worse.low > 0.6
    mirrored = difference_of([False] * 100, ours, stories)
    assert mirrored.value == -worse.value


def test_lengths_must_agree() -> None:
    with pytest.raises(SeedStoryError, match="as many clusters as values"):
        share_of([True], [])
    with pytest.raises(SeedStoryError, match="as many clusters as values"):
        share_of([], [])
