"""Who keeps an engine's rows between calls."""

from __future__ import annotations

from typing import Protocol

from ..engine import Engine


class Kept(Protocol):
    """The keeper of the rows that an LLM has read."""

    @property
    def nbytes(self) -> int:
        """Memory of the rows, wherever they are."""
        ...

    def park(self) -> None:
        """Move them to the CPU; the next telling brings them back."""
        ...


def kept_by(engine: Engine) -> Kept | None:
    """Who keeps rows for ``engine``; None for engines that keep none."""
    return getattr(engine, "reader", None)
