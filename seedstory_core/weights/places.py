"""Where models lie when nobody says: in ComfyUI's models folder, where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

WORLDS = "seedstory"  # folder of worlds inside ComfyUI's models folder


def models_folder(given: Path | None = None) -> Path:
    """``given``; else $SEEDSTORY_MODELS, the first ComfyUI's ``models``, or ``models`` here."""
    named = [part for part in os.environ.get("SEEDSTORY_MODELS", "").split(os.pathsep) if part]
    if given is not None or named:
        return given or Path(named[0])
    for comfy in _comfyui():
        if (comfy / "models").is_dir():
            return comfy / "models"
    return Path("models")


def world_roots(models: Path) -> list[Path]:
    """Where worlds may be: ``models/seedstory``, ``models`` itself, the pack's ``worlds``.

    An installed library has the pack's worlds inside the package.
    """
    package = Path(__file__).parents[1]
    return [models / WORLDS, models, package.parent / "worlds", package / "worlds"]


def home() -> Path | None:
    """The user's home folder; None where the system knows none, as in some containers."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def _comfyui() -> Iterator[Path]:
    if os.environ.get("COMFYUI_PATH"):
        yield Path(os.environ["COMFYUI_PATH"])
    pack = Path(__file__).resolve().parents[2]
    if pack.parent.name == "custom_nodes":
        yield pack.parent.parent
    own = home()
    if own is not None:
        yield own / "comfy" / "ComfyUI"
        yield own / "ComfyUI"
