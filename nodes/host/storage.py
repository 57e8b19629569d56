"""Whether weights lie on a fast disk, said to hosts that want to know."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any


def disk_of(kind: Any, *paths: Path) -> dict[str, bool]:
    """``{"fast_disk": ...}`` for a class of ComfyUI's that takes it, else nothing.

    Hosts since 0.36 read weights again from a fast disk instead of keeping them in locked memory;
    not told, they take every disk for a slow one.
    """
    if "fast_disk" not in inspect.signature(kind).parameters:
        return {}
    try:
        storage = import_module("comfy.storage")
    except ImportError:
        return {}
    return {"fast_disk": bool(storage.model_fast_disk([str(path) for path in paths]))}
