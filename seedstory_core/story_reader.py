"""Reads stories (`story_store.py` says what is in their folders and writes them).

They come from strangers too: sizes are bounded, types are checked, no path leaves the folder.
`Source` is where features and pictures are read from: a folder here, an archive in `story_file`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import SeedStoryError
from .files import human
from .images import read_picture
from .story import check_features, check_text, next_uid
from .types import ORIGINS, Character, Json, Panel, Story, WorldRef
from .world import inside

FORMAT = "seedstory-story"
VERSION = 1
MANIFEST = "story.json"
MAX_MANIFEST = 64 << 20  # bytes; 10,000 panels take about 10 MB
MAX_FEATURES = 256 << 20  # bytes of one panel's features; SEED-Story's own take 2 to 4 MB
MAX_PANELS = 10_000
#: A story's pictures in memory: to this many times the bytes of their files, and this many more. A
#: line drawing takes fifty to a hundred times its file, a bomb a thousand.
MAX_SWELL, SWELL_SLACK = 100, 2 << 30
MAX_DEPTH = 64  # of provenance, which is written again by recursion
#: Provenance: the ComfyUI workflow that made the panel; kept once in story.json, by its digest.
WORKFLOW = "workflow"
#: Manifest: ``{digest: workflow}`` of all panels.
WORKFLOWS = "workflows"

logger = logging.getLogger(__name__)


class Source(Protocol):
    """The files that a manifest names; ``where`` is what to call them in messages."""

    where: str

    def size(self, relative: str) -> int: ...

    def features(self, relative: str, what: str) -> dict[str, Tensor]: ...

    def picture(self, relative: str) -> Tensor: ...


class FolderSource:
    """The files of a story folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.where = folder, str(folder / MANIFEST)

    def size(self, relative: str) -> int:
        """Bytes of one file, 0 where it is missing."""
        path = inside(self.folder, relative)
        return path.stat().st_size if path.is_file() else 0

    def features(self, relative: str, what: str) -> dict[str, Tensor]:
        """``{space: tensor}`` of one file."""
        return load_features(self.folder, relative, what)

    def picture(self, relative: str) -> Tensor:
        """uint8 [H, W, 3]."""
        return read_picture(inside(self.folder, relative))


class _Bounded:
    """A source that a manifest cannot blow up: no file comes twice, no pictures out of nothing."""

    def __init__(self, source: Source) -> None:
        self.source, self.where = source, source.where
        self._names: set[str] = set()
        self._packed = self._swollen = 0

    def features(self, relative: str, what: str) -> dict[str, Tensor]:
        self._once(relative)
        return self.source.features(relative, what)

    def picture(self, relative: str) -> Tensor:
        self._once(relative)
        image = self.source.picture(relative)
        self._packed += self.source.size(relative)
        self._swollen += image.numel()
        if self._swollen > MAX_SWELL * self._packed + SWELL_SLACK:
            raise SeedStoryError(
                f"{self.where} is not read: its pictures take more than {human(self._swollen)} in "
                f"memory, but {human(self._packed)} as files. They were made to fill the memory."
            )
        return image

    def _once(self, relative: str) -> None:
        if relative in self._names:
            raise SeedStoryError(
                f"{self.where} names the file {relative!r} twice; every panel has files of its "
                "own. Get another copy of it."
            )
        self._names.add(relative)


def load_story(folder: Path) -> Story:
    """The story in ``folder``, as saved.

    Raises:
        SeedStoryError: no story, a newer version, wrong types, paths that leave the folder, or
            missing, damaged or NaN features and pictures.
    """
    return story_of(read_manifest(folder), FolderSource(folder))


def story_of(data: Mapping[str, Any], source: Source) -> Story:
    """The story that a manifest tells; errors as `load_story`."""
    files = _Bounded(source)
    try:
        story = Story(
            panels=(),
            engine=_text(data["engine"]),
            world=WorldRef(_text(data["world"]["name"]), _text(data["world"]["digest"])),
            run=_text(data["run"]),
            characters=tuple(_load_character(files, entry) for entry in data["characters"]),
            closing=None if data["closing"] is None else _text(data["closing"]),
        )
        workflows = {key: _plain(value) for key, value in data.get(WORKFLOWS, {}).items()}
        panels: list[Panel] = []
        for index, entry in enumerate(panel_entries(data, source.where)):
            panel = _load_panel(files, index, entry, workflows)
            uid = next_uid(replace(story, panels=tuple(panels[-1:])), panel)
            if uid != entry.get("uid"):
                logger.warning(
                    "%s: panel %d was changed by hand since it was told", source.where, index
                )
            panels.append(replace(panel, uid=uid))
        return replace(story, panels=tuple(panels))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise SeedStoryError(
            f"{source.where} lacks or misshapes a field ({error}). Restore the file from a "
            "copy, or tell the story anew."
        ) from error


def _load_panel(
    source: _Bounded, index: int, entry: Mapping[str, Any], workflows: Mapping[str, Json]
) -> Panel:
    origin, seed = entry["origin"], entry["seed"]
    if origin not in ORIGINS or not (seed is None or _whole(seed)):
        raise TypeError(f"origin or seed of panel {index}")
    if not isinstance(entry["token_ids"], list) or not all(map(_whole, entry["token_ids"])):
        raise TypeError(f"token_ids of panel {index}")
    image, features = entry["image"], entry["features"]
    provenance = {_text(key): _plain(value) for key, value in entry["provenance"].items()}
    known = provenance.get(WORKFLOW)
    if isinstance(known, str) and known in workflows:
        provenance[WORKFLOW] = workflows[known]
    return Panel(
        caption=_text(entry["caption"]),
        text=_text(entry["text"]),
        origin=origin,
        token_ids=tuple(entry["token_ids"]),
        features={} if features is None else source.features(_text(features), f"panel {index}"),
        image=None if image is None else source.picture(_text(image)),
        seed=seed,
        provenance=provenance,
    )


def _load_character(source: _Bounded, entry: Mapping[str, Any]) -> Character:
    features = entry["features"]
    return Character(
        name=_text(entry["name"]),
        phrase=_text(entry["phrase"]),
        images=tuple(source.picture(_text(name)) for name in entry["images"]),
        features={} if features is None else source.features(_text(features), "a character"),
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
        raise TypeError(f"{value!r:.80} where text is expected")
    check_text(value, "text of the story")
    return value


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _plain(value: Any, depth: int = 0) -> Any:
    """JSON as it was read, once it is known that it can be written again."""
    if depth > MAX_DEPTH:
        raise TypeError(f"provenance nested more than {MAX_DEPTH} deep")
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {_text(key): _plain(item, depth + 1) for key, item in value.items()}
    return value


def panel_entries(data: Mapping[str, Any], where: Path | str) -> list[Mapping[str, Any]]:
    """The panels of a manifest; ``where`` is the folder, or the manifest's name in messages."""
    where = where / MANIFEST if isinstance(where, Path) else where
    entries = data.get("panels")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SeedStoryError(f"{where}: 'panels' must be a list of objects.")
    if len(entries) > MAX_PANELS:
        raise SeedStoryError(f"{where} has {len(entries)} panels; at most {MAX_PANELS} are read.")
    return entries


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """``story.json`` of a folder, its format and version checked."""
    path = folder / MANIFEST
    if not path.is_file():
        raise SeedStoryError(
            f"{folder} is not a story folder: it has no {MANIFEST}. Point at the folder of a run."
        )
    if path.stat().st_size > MAX_MANIFEST:
        raise SeedStoryError(f"{path} is larger than {human(MAX_MANIFEST)}; that is no story.")
    return parse_manifest(path.read_bytes(), str(path))


def parse_manifest(raw: bytes, where: str) -> Mapping[str, Any]:
    """The bytes of a ``story.json``; ``where`` is what to call it in messages."""
    try:
        data = json.loads(raw.decode(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise SeedStoryError(
            f"{where} is not valid JSON ({error}). Restore it from a copy, or tell the story anew."
        ) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise SeedStoryError(f"{where} is not a story: expected an object with format {FORMAT!r}.")
    version = data.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= VERSION:
        raise SeedStoryError(
            f"{where} has version {version!r}; this program reads up to {VERSION}. Update it."
        )
    return data


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def find_stories(root: Path) -> dict[str, Path]:
    """``{folder name: folder}`` of every story directly under ``root``, newest first."""
    if not root.is_dir():
        return {}
    found = [entry.path for entry in os.scandir(root) if os.path.isfile(f"{entry.path}/{MANIFEST}")]
    newest = sorted(found, key=lambda path: -os.stat(f"{path}/{MANIFEST}").st_mtime_ns)
    return {Path(path).name: Path(path) for path in newest}
