"""Checkpoints: folders of safetensors files that appear whole or not at all, the last two kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .. import left_overs
from ..errors import SeedStoryError
from ..files import atomic_folder
from ..held import discard

KEEP = 2
STATE = "state.json"
Tensors = dict[str, dict[str, Tensor]]


def save(folder: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]]) -> Path:
    """Write ``folder/<step>/`` with one file per entry of ``tensors``, and drop older ones.

    Args:
        tensors: ``{stem: state dict}``.

    Raises:
        SeedStoryError: the disk is full or failing; the older checkpoints are still there.
    """
    target = folder / f"{step:07d}"
    # one of this very step is there when a resumed run stops at once
    with atomic_folder(target, over=True) as beside:
        sizes = {}
        for stem, state in tensors.items():
            path = beside / f"{stem}.safetensors"
            save_file(own_memory(state), path)
            sizes[path.name] = path.stat().st_size
        text = json.dumps({"step": step, "files": sizes})
        (beside / STATE).write_text(text, encoding="utf-8", newline="\n")
    for old in _all(folder)[:-KEEP]:
        discard(old)
    return target


def newest(folder: Path) -> Path | None:
    """The newest checkpoint whose files are all there in full length."""
    return next((path for path in reversed(_all(folder)) if _whole(path)), None)


def sweep(folder: Path) -> None:
    """Remove what a killed run left half written; call it while nobody writes."""
    left_overs.sweep(folder, folders=True)


def read(path: Path) -> tuple[int, Tensors]:
    """The step of a checkpoint (how many were made) and its state dicts on the CPU.

    Raises:
        SeedStoryError: a file is damaged.
    """
    state = json.loads((path / STATE).read_text(encoding="utf-8"))
    try:
        files = {Path(name).stem: load_file(path / Path(name).name) for name in state["files"]}
    except (SafetensorError, OSError) as error:
        raise SeedStoryError(
            f"The checkpoint {path} is damaged ({error}). Delete that folder; the run then goes "
            "on from the one before."
        ) from error
    return int(state["step"]), files


def own_memory(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU that share no memory with each other, as safetensors asks for."""
    return {
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in state.items()
    }


def _all(folder: Path) -> list[Path]:
    """Oldest first; names are numbers of steps."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if p.name.isdecimal()), key=lambda p: int(p.name))


def _whole(path: Path) -> bool:
    try:
        state: Any = json.loads((path / STATE).read_text(encoding="utf-8"))
        sizes = state["files"]
        return isinstance(state["step"], int) and all(
            (path / Path(name).name).stat().st_size == size for name, size in sizes.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
