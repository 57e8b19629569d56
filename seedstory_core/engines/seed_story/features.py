"""Picture features as they travel: the name of their space, and the check that they fit a world."""

from __future__ import annotations

from torch import Tensor

from ...errors import SeedStoryError
from ...story import check_features
from ...types import Panel
from .config import SeedStoryConfig

SPACE = "seed_story.image"  # feature space: [256, D] a picture, what `Vision` gives


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
    """``row`` if it is [256, D] of this world's sizes and finite.

    Raises:
        SeedStoryError: another shape, NaN or infinite numbers.
    """
    pool = config.vision.pool
    if tuple(row.shape) != (pool.tokens, pool.width):
        raise SeedStoryError(
            f"The features of {what} have the shape {list(row.shape)}, this world's are "
            f"{[pool.tokens, pool.width]}. They belong to another world."
        )
    check_features({SPACE: row}, what)
    return row
