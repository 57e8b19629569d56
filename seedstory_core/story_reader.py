"""Reads story folders (`story_store.py` says what is in them and writes them).

Folders come from strangers too: sizes are bounded, types are checked, no path leaves the
folder.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import SeedStoryError
from .files import human
from .images import read_picture
from .story import check_features, next_uid
from .types import ORIGINS, Character, Panel, Story, WorldRef
from .world import inside

FORMAT = "seedstory-story"
VERSION = 1
MANIFEST = "story.json"
MAX_MANIFEST = 64 << 20  # bytes; 10,000 panels take about 10 MB
MAX_FEATURES = 256 << 20  # bytes of one panel's features; SEED-Story's own take 2 to 4 MB
MAX_PANELS = 10_000

logger = logging.getLogger(__name__)


def load_story(folder: Path) -> Story:
    """The story in ``folder``, as saved.

    Raises:
        SeedStoryError: no story, a newer version, wrong types, paths that leave the folder, or
            missing, damaged or NaN features and pictures.
    """
    data = read_manifest(folder)
    try:
        story = Story(
            panels=(),
            engine=_text(data["engine"]),
            world=WorldRef(_text(data["world"]["name"]), _text(data["world"]["digest"])),
            run=_text(data["run"]),
            characters=tuple(_load_character(folder, entry) for entry in data["characters"]),
            closing=None if data["closing"] is None else _text(data["closing"]),
        )
        panels: list[Panel] = []
        for index, entry in enumerate(panel_entries(data, folder)):
            panel = _load_panel(folder, index, entry)
            uid = next_uid(replace(story, panels=tuple(panels[-1:])), panel)
            if uid != entry.get("uid"):
                logger.warning("%s: panel %d was changed by hand since it was told", folder, index)
            panels.append(replace(panel, uid=uid))
        return replace(story, panels=tuple(panels))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise SeedStoryError(
            f"{folder / MANIFEST} lacks or misshapes a field ({error}). Restore the file from a "
            "copy, or tell the story anew."
        ) from error


def _load_panel(folder: Path, index: int, entry: Mapping[str, Any]) -> Panel:
    origin, seed = entry["origin"], entry["seed"]
    if origin not in ORIGINS or not (seed is None or isinstance(seed, int)):
        raise TypeError(f"origin or seed of panel {index}")
    if not all(isinstance(token, int) for token in entry["token_ids"]):
        raise TypeError(f"token_ids of panel {index}")
    image = entry["image"]
    return Panel(
        caption=_text(entry["caption"]),
        text=_text(entry["text"]),
        origin=origin,
        token_ids=tuple(entry["token_ids"]),
        features=load_features(folder, entry["features"], f"panel {index}"),
        image=None if image is None else read_picture(inside(folder, _text(image))),
        seed=seed,
        provenance=dict(entry["provenance"].items()),
    )


def _load_character(folder: Path, entry: Mapping[str, Any]) -> Character:
    return Character(
        name=_text(entry["name"]),
        phrase=_text(entry["phrase"]),
        images=tuple(read_picture(inside(folder, _text(name))) for name in entry["images"]),
        features=load_features(folder, entry["features"], "a character"),
    )


def load_features(folder: Path, relative: object, what: str) -> dict[str, Tensor]:
    """``{space: tensor}`` of one file of the folder; none where ``relative`` is None."""
    if relative is None:
        return {}
    path = inside(folder, _text(relative))
    if not path.is_file() or path.stat().st_size > MAX_FEATURES:
        state = "missing" if not path.is_file() else f"larger than {human(MAX_FEATURES)}"
        raise SeedStoryError(
            f"The features of {what}, {path}, are {state}. The story cannot go on or be painted "
            "without them: restore the file from a copy, or tell the story anew."
        )
    try:
        with safe_open(path, "pt") as file:
            features = {key: file.get_tensor(key) for key in file.keys()}
    except SafetensorError as error:
        raise SeedStoryError(
            f"{path} is damaged ({error}). Restore the file from a copy, or tell the story anew."
        ) from error
    check_features(features, f"{what} in {path}")
    return features


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} where text is expected")
    return value


def panel_entries(data: Mapping[str, Any], folder: Path) -> list[Mapping[str, Any]]:
    entries = data.get("panels")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SeedStoryError(f"{folder / MANIFEST}: 'panels' must be a list of objects.")
    if len(entries) > MAX_PANELS:
        raise SeedStoryError(
            f"{folder / MANIFEST} has {len(entries)} panels; at most {MAX_PANELS} are read."
        )
    return entries


def read_manifest(folder: Path) -> Mapping[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise SeedStoryError(
            f"{folder} is not a story folder: it has no {MANIFEST}. Point at the folder of a run."
        )
    if path.stat().st_size > MAX_MANIFEST:
        raise SeedStoryError(f"{path} is larger than {human(MAX_MANIFEST)}; that is no story.")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SeedStoryError(
            f"{path} is not valid JSON ({error}). Restore it from a copy, or tell the story anew."
        ) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise SeedStoryError(f"{path} is not a story: expected an object with format {FORMAT!r}.")
    version = data.get("version")
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise SeedStoryError(
            f"{path} has version {version!r}; this program reads up to {VERSION}. Update it."
        )
    return data


def find_stories(root: Path) -> dict[str, Path]:
    """``{folder name: folder}`` of every story directly under ``root``, newest first."""
    if not root.is_dir():
        return {}
    found = [entry.path for entry in os.scandir(root) if os.path.isfile(f"{entry.path}/{MANIFEST}")]
    newest = sorted(found, key=lambda path: -os.stat(f"{path}/{MANIFEST}").st_mtime_ns)
    return {Path(path).name: Path(path) for path in newest}
