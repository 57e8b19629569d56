"""Stories on disk: a folder that is whole after every panel, whatever happens in between.

```
<run>/story.json                 format, version, engine, world, one entry for each panel
<run>/features/NNN.safetensors   {space: tensor} of panel NNN
<run>/panels/NNN.png             its picture; earlier pictures of the same panel are NNN.1.png, ...
<run>/characters/NN.safetensors, NN-M.png
```
Files of a panel are written first and story.json last, each whole or not at all, so that story.json
never names a file that is not there. What is on disk already is not written again. Folders come
from strangers too: nothing read here is trusted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import SeedStoryError
from .files import atomic_batch, atomic_write_bytes
from .locks import folder_lock
from .names import place_for, safe_name
from .picture_files import MAX_FILE
from .plain_files import free_path, read_plain
from .story import feature_digests
from .story_reader import (
    MANIFEST,
    find_stories,
    has_manifest,
    load_features,
    load_story,
    panel_entries,
    read_manifest,
)
from .story_writer import manifest_bytes_of, save_parts
from .types import Panel, Story

__all__ = ["divergence", "find_stories", "keep", "load_story", "safe_name", "save_story"]

ROUNDING = 1e-3  # of the largest feature; what telling again may change without being other


def keep(root: Path, story: Story) -> Path:
    """Save ``story`` under ``root`` without overwriting any other; the folder it is in.

    The folder is ``root/<run>``. If that holds another line of panels, which leaves this one at
    panel k, it is ``root/<run>~<first 8 digits of this story's uid k>``, and so on. So a story and
    everything told on from it land in one folder each time, and branches in their own.
    """
    name = safe_name(story.run)
    with folder_lock(root):  # else two runs of one name could both find the folder free
        folder, tried = place_for(root, name), set()
        while (split := _occupied(folder, story)) is not None:
            tried.add(folder)
            folder = place_for(root, f"{name}~{story.panels[split].uid[:8]}")
            while folder in tried:  # only damaged or tampered folders lead here
                folder = folder.with_name(f"{folder.name}~")
        save_story(folder, story)
    return folder


def _occupied(folder: Path, story: Story) -> int | None:
    """As `divergence`, but an unreadable story counts as another one: it is left as it is."""
    try:
        return divergence(folder, story)
    except SeedStoryError:
        return 0


def divergence(folder: Path, story: Story) -> int | None:
    """The first panel at which the story in ``folder`` is another one than ``story``, if any."""
    if not has_manifest(folder):
        return None
    entries = panel_entries(read_manifest(folder), folder)
    for index, (entry, panel) in enumerate(zip(entries, story.panels, strict=False)):
        if entry.get("uid") != panel.uid or not _same_features(folder, index, entry, panel):
            return index
    return None


def _same_features(folder: Path, index: int, entry: Mapping[str, Any], panel: Panel) -> bool:
    """Equal but for rounding; files are read only where the recorded digests differ."""
    if entry.get("features_sha256", {}) == feature_digests(panel):
        return True
    kept = load_features(folder, entry.get("features"), f"panel {index}")
    return kept.keys() == panel.features.keys() and all(
        _close(tensor, panel.features[space]) for space, tensor in kept.items()
    )


def _close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not one.is_floating_point():
        return torch.equal(one, other)
    return bool((one.float() - other.float()).abs().max() <= ROUNDING * one.float().abs().max())


def save_story(folder: Path, story: Story) -> None:
    """Bring ``folder`` up to ``story``: writes only what is new or changed, story.json last.

    A folder that already tells this story further keeps its further panels. The replaced picture
    of a panel stays beside the new one as ``NNN.1.png``, ``NNN.2.png``...

    Raises:
        SeedStoryError: the folder holds another story, another run is writing to it, or the disk
            is full or read-only (what was saved before is kept then).
    """
    with folder_lock(folder):
        _save(folder, story)


def _save(folder: Path, story: Story) -> None:
    known: Mapping[str, Any] = {}
    if has_manifest(folder):
        split = divergence(folder, story)
        if split is not None:
            raise SeedStoryError(
                f"{folder} holds another story (panel {split} differs). Choose another folder, or "
                "continue that story: load it first."
            )
        known = read_manifest(folder)
    before = panel_entries(known, folder) if known else ()
    with atomic_batch() as write:
        data = save_parts(story, FolderSink(folder, write), known, before)
    if data != known:
        atomic_write_bytes(free_path(folder, MANIFEST), manifest_bytes_of(data))


class FolderSink:
    """Puts the files of a story into its folder, by what `atomic_batch` yields."""

    def __init__(self, folder: Path, write: Callable[[Path, bytes], None]) -> None:
        self.folder, self._write = folder, write

    def write(self, relative: str, data: bytes) -> None:
        """Write one file; no name leads out of the folder."""
        self._write(free_path(self.folder, relative), data)

    def set_aside(self, index: int, before: Mapping[str, Any]) -> dict[str, Any]:
        """Give the present picture of a panel a second name, so that the first can be replaced."""
        number = 1
        while os.path.lexists(self.folder / f"panels/{index:03d}.{number}.png"):
            number += 1
        name = f"panels/{index:03d}.{number}.png"
        data = read_plain(self.folder, str(before["image"]), MAX_FILE)
        if data is not None:
            atomic_write_bytes(free_path(self.folder, name), data)
        made = before.get("provenance")
        paint = made.get("paint") if isinstance(made, dict) else None
        return {"image": name, "image_sha256": before.get("image_sha256"), "paint": paint}
