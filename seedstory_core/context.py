"""Context policies: which panels the next one reads. Small frozen classes, no flags.

A policy is part of a story's meaning (another policy tells another story), so it is recorded in
every told panel. The multimodal attention sink selects cache rows instead of whole panels; it
joins here as a class of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .errors import SeedStoryError


class ContextPolicy(Protocol):
    """Which part of a story is in view."""

    def first_visible(self, panels: int) -> int:
        """Index of the oldest panel in view when ``panels`` panels are told already."""
        ...


@dataclass(frozen=True)
class Dense:
    """Every panel stays in view; cost and memory grow with the story."""

    def first_visible(self, panels: int) -> int:
        return 0


@dataclass(frozen=True)
class Window:
    """The newest ``size`` panels are in view, as in gen_george.py (window_size = 8)."""

    size: int = 8

    def __post_init__(self) -> None:
        if self.size < 1:
            raise SeedStoryError(f"A window needs at least 1 panel in view, got {self.size}.")

    def first_visible(self, panels: int) -> int:
        return max(0, panels - self.size)


def restore(data: Mapping[str, Any]) -> Dense | Window:
    """What `sampling.describe` wrote of a policy, as in a world's defaults.

    Raises:
        SeedStoryError: a policy that this version does not know.
    """
    kinds = {"Dense": Dense, "Window": Window}
    fields = {key: value for key, value in data.items() if key != "class"}
    try:
        return kinds[data["class"]](**fields)
    except (KeyError, TypeError) as error:
        raise SeedStoryError(
            f"Unknown context policy {dict(data)!r:.200} ({error}); update the pack."
        ) from error
