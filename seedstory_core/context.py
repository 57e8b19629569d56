"""Context policies: which panels the next one reads. Small frozen classes, no flags.

A policy is part of a story's meaning (another policy tells another story), so it is recorded in
every told panel. The multimodal attention sink selects cache rows instead of whole panels; it
joins here as a class of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

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
    """The newest ``size`` panels are in view, as in the reference (gen_george.py: window_size = 8)."""

    size: int = 8

    def __post_init__(self) -> None:
        if self.size < 1:
            raise SeedStoryError(f"A window needs at least 1 panel in view, got {self.size}.")

    def first_visible(self, panels: int) -> int:
        return max(0, panels - self.size)
