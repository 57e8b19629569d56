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

import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from .errors import SeedStoryError
from .files import atomic_path, atomic_write_bytes, atomic_write_json
from .images import encode_png
from .story import feature_digests, pixel_digest
from .story_reader import (
    FORMAT,
    MANIFEST,
    MAX_PANELS,
    VERSION,
    find_stories,
    load_features,
    load_story,
    panel_entries,
    read_manifest,
)
from .types import Character, Panel, Story
from .world import inside

__all__ = ["divergence", "find_stories", "keep", "load_story", "safe_name", "save_story"]

ROUNDING = 1e-3  # of the largest feature; what telling again may change without being other
MAX_NAME = 120  # bytes, since file systems count those
_RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)),
}


def safe_name(wanted: str) -> str:
    """A folder name on every system that reads like ``wanted``: ``a/b: c?`` -> ``a_b_ c_``."""
    text = unicodedata.normalize("NFC", wanted.encode(errors="replace").decode())
    kept = "".join(
        "_" if char in '<>:"/\\|?*' or unicodedata.category(char)[0] == "C" else char
        for char in text
    )
    short = kept.strip(" .~").encode()[:MAX_NAME].decode(errors="ignore")
    name = short.strip(" .~") or "story"
    return f"_{name}" if name.split(".")[0].lower() in _RESERVED else name


def keep(root: Path, story: Story) -> Path:
    """Save ``story`` under ``root`` without overwriting any other; the folder it is in.

    The folder is ``root/<run>``. If that holds another line of panels, which leaves this one at
    panel k, it is ``root/<run>~<first 8 digits of this story's uid k>``, and so on. So a story and
    everything told on from it land in one folder each time, and branches in their own.
    """
    name = safe_name(story.run)
    folder, tried = root / name, set()
    while (split := _occupied(folder, story)) is not None:
        tried.add(folder)
        folder = root / f"{name}~{story.panels[split].uid[:8]}"
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
    if not (folder / MANIFEST).exists():
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
        SeedStoryError: the folder holds another story, or the disk is full (what was saved before
            is kept then).
    """
    if len(story) > MAX_PANELS:
        raise SeedStoryError(f"A story has at most {MAX_PANELS} panels, this one {len(story)}.")
    known: Mapping[str, Any] = {}
    if (folder / MANIFEST).exists():
        split = divergence(folder, story)
        if split is not None:
            raise SeedStoryError(
                f"{folder} holds another story (panel {split} differs). Choose another folder, or "
                "continue that story: load it first."
            )
        known = read_manifest(folder)
    before = panel_entries(known, folder) if known else []
    folder.mkdir(parents=True, exist_ok=True)
    entries = [
        _save_panel(folder, index, panel, before[index] if index < len(before) else {})
        for index, panel in enumerate(story.panels)
    ]
    further = before[len(entries) :]
    data = {
        "format": FORMAT,
        "version": VERSION,
        "run": story.run.encode(errors="replace").decode(),
        "engine": story.engine,
        "world": {"name": story.world.name, "digest": story.world.digest},
        "closing": known.get("closing") if further else story.closing,
        "characters": _save_characters(folder, story.characters, known.get("characters", [])),
        "panels": [*entries, *further],
    }
    if data != known:
        atomic_write_json(folder / MANIFEST, data)


def _save_panel(
    folder: Path, index: int, panel: Panel, before: Mapping[str, Any]
) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "caption": panel.caption,
        "text": panel.text,
        "origin": panel.origin,
        "token_ids": list(panel.token_ids),
        "features": before.get("features"),
        "image": before.get("image"),
        "seed": panel.seed,
        "provenance": dict(panel.provenance),
        "uid": panel.uid,
    }
    again = ("features_sha256", "image_sha256", "earlier")
    entry |= {key: before[key] for key in again if key in before}
    if panel.features and not entry["features"]:
        entry["features_sha256"] = feature_digests(panel)
        entry["features"] = f"features/{index:03d}.safetensors"
        _write(folder, entry["features"], safetensors_bytes(_writable(panel.features)))
    if panel.image is None:
        if entry["image"]:
            entry["provenance"] = before.get("provenance", {})
    elif (digest := pixel_digest(panel.image)) != entry.get("image_sha256"):
        if entry["image"]:
            entry["earlier"] = [*entry.get("earlier", []), _set_aside(folder, index, before)]
        entry |= {"image": f"panels/{index:03d}.png", "image_sha256": digest}
        _write(folder, entry["image"], encode_png(panel.image))
    return entry


def _writable(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {space: tensor.detach().cpu().clone().contiguous() for space, tensor in features.items()}


def _write(folder: Path, relative: str, data: bytes) -> None:
    atomic_write_bytes(inside(folder, relative), data)


def _set_aside(folder: Path, index: int, before: Mapping[str, Any]) -> dict[str, Any]:
    """Give the present picture of a panel a second name, so that the first can be replaced."""
    number = 1
    while (folder / f"panels/{index:03d}.{number}.png").exists():
        number += 1
    name = f"panels/{index:03d}.{number}.png"
    source = inside(folder, str(before["image"]))
    if source.is_file():
        with atomic_path(inside(folder, name), source.stat().st_size) as part:
            shutil.copyfile(source, part)
    paint = dict(before.get("provenance") or {}).get("paint")
    return {"image": name, "image_sha256": before.get("image_sha256"), "paint": paint}


def _save_characters(
    folder: Path, characters: Sequence[Character], before: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Equal uids of panel 0 mean equal names, phrases and pictures; only features can be new."""
    entries = []
    for number, who in enumerate(characters):
        known = before[number] if number < len(before) else {}
        pictures = [f"characters/{number:02d}-{i}.png" for i in range(len(who.images))]
        spaces, features = sorted(who.features), f"characters/{number:02d}.safetensors"
        if known.get("images") != pictures:
            for name, image in zip(pictures, who.images, strict=True):
                _write(folder, name, encode_png(image))
        if spaces and known.get("spaces") != spaces:
            _write(folder, features, safetensors_bytes(_writable(who.features)))
        entry = {"name": who.name, "phrase": who.phrase, "images": pictures, "spaces": spaces}
        entry["features"] = features if spaces else None
        entries.append(entry)
    return entries
