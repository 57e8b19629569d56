"""What the pack's JavaScript shows inside nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import folder_paths
from PIL import Image

from ...seedstory_core.images import pixel_size
from ...seedstory_core.types import Json, Panel

SUBFOLDER = "seedstory"


def text_ui(*texts: str) -> dict[str, Any]:
    """Text for the read-only field of a node."""
    return {"seedstory_text": list(texts)}


def saved_panels(panels: Sequence[Panel], closing: str | None) -> dict[str, Any]:
    """Captions and picture files of ``panels`` for the story view; equal pictures share a file.

    ``square`` is how many times a picture is exactly enlarged: the view shows whole multiples.
    """
    return {
        "seedstory_panels": [
            {"number": n, "caption": panel.caption, "image": _preview(panel)}
            for n, panel in enumerate(panels)
        ],
        "seedstory_closing": [closing or ""],
    }


def _preview(panel: Panel) -> Mapping[str, Json] | None:
    if panel.image is None:
        return None
    pixels = panel.image.numpy()
    name = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:24] + ".png"
    folder = Path(folder_paths.get_temp_directory()) / SUBFOLDER
    if not (folder / name).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name, compress_level=1)
    square = pixel_size(panel.image)
    return {"filename": name, "subfolder": SUBFOLDER, "type": "temp", "square": square}
