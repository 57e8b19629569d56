"""What the pack's JavaScript shows inside nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import folder_paths
from PIL import Image

from ...seedstory_core.types import Panel

SUBFOLDER = "seedstory"


def text_ui(*texts: str) -> dict[str, Any]:
    """Text for the read-only field of a node."""
    return {"seedstory_text": list(texts)}


def saved_panels(panels: Sequence[Panel], closing: str | None) -> dict[str, Any]:
    """Captions and picture files of ``panels`` for the story view; equal pictures share a file."""
    return {
        "seedstory_panels": [
            {"number": n, "caption": panel.caption, "image": _preview(panel)}
            for n, panel in enumerate(panels)
        ],
        "seedstory_closing": [closing or ""],
    }


def _preview(panel: Panel) -> dict[str, str] | None:
    if panel.image is None:
        return None
    pixels = panel.image.numpy()
    name = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:24] + ".png"
    folder = Path(folder_paths.get_temp_directory()) / SUBFOLDER
    if not (folder / name).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name, compress_level=1)
    return {"filename": name, "subfolder": SUBFOLDER, "type": "temp"}
