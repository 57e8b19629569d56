"""The painter without ComfyUI: `open_painter` gets a `Painter` together, which paints panels."""

from __future__ import annotations

from .loading import open_painter, overlay
from .painting import Painter

__all__ = ["Painter", "open_painter", "overlay"]
