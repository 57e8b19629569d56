"""What the pack's JavaScript shows inside nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import folder_paths
from PIL import Image

from ...seedstory_core.files import atomic_path
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
            {"number": n, "caption": panel.caption, "image": preview(panel)}
            for n, panel in enumerate(panels)
        ],
        "seedstory_closing": [closing or ""],
    }


def preview(panel: Panel) -> Mapping[str, Json] | None:
    """The file of a panel's picture as ``/view`` takes it, named after what is in it."""
    if panel.image is None:
        return None
    pixels = panel.image.numpy()
    name = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:24] + ".png"
    folder = Path(folder_paths.get_temp_directory()) / SUBFOLDER
    if not (folder / name).is_file():
        with atomic_path(folder / name, pixels.nbytes) as part:
            Image.fromarray(pixels).save(part, "PNG", compress_level=1)
    square = pixel_size(panel.image)
    return {"filename": name, "subfolder": SUBFOLDER, "type": "temp", "square": square}
