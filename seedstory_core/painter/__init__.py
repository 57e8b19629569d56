"""The painter without ComfyUI: `open_painter` gets a `Painter` together, which paints panels."""

from __future__ import annotations

from .batches import batches, fitting
from .loading import open_painter, overlay
from .painting import Painter
from .solvers import SOLVERS

__all__ = ["SOLVERS", "Painter", "batches", "fitting", "open_painter", "overlay"]
