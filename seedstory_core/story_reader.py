"""Reads stories (`story_store.py` says what is in their folders and writes them).

They come from strangers too: sizes are bounded, types are checked, no path leaves the folder.
`Source` is where features and pictures are read from: a folder here, an archive in `story_file`.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from .errors import SeedStoryError
from .feature_files import MAX_FEATURES, features_of
from .files import human
from .names import key
from .picture_files import MAX_FILE, PNG_ONLY, decode_picture
from .plain_files import open_plain, plain_size, read_plain
from .story import next_uid
from .strict_json import parse_json, shown
from .types import ORIGINS, Character, Json, Panel, Story, WorldRef

FORMAT = "seedstory-story"
VERSION = 1
MANIFEST = "story.json"
MAX_MANIFEST = 64 << 20  # bytes; 10,000 panels take about 10 MB
MAX_PANELS = 10_000
#: What a manifest is made of: lists and objects, texts, and values; each costs tens of bytes in
#: memory for two or three in the file. 10,000 panels have 100,000, 600,000 and 3 million.
MAX_PARTS, MAX_TEXTS, MAX_VALUES = 1_000_000, 2_000_000, 6_000_000
MAX_TOKEN, MAX_SEED = 1 << 31, 1 << 64
#: A story's pictures in memory: to this many times the bytes of their files, and this many more. A
#: line drawing takes fifty to a hundred times its file, a bomb a thousand.
MAX_SWELL, SWELL_SLACK = 100, 2 << 30
MAX_DEPTH = 68  # of a manifest: of provenance 64, which is written again by recursion
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
        return plain_size(self.folder, relative)

    def features(self, relative: str, what: str) -> dict[str, Tensor]:
        """``{space: tensor}`` of one file."""
        return load_features(self.folder, relative, what)

    def picture(self, relative: str) -> Tensor:
        """uint8 [H, W, 3]."""
        data = read_plain(self.folder, relative, MAX_FILE)
        path = self.folder / relative
        if data is None:
            raise SeedStoryError(f"There is no picture at {path}. Restore it from a copy.")
        return decode_picture(data, str(path), PNG_ONLY)


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
        same = key(relative)  # one file on Windows and macOS
        if same in self._names:
            raise SeedStoryError(
                f"{self.where} names the file {relative!r} twice; every panel has files of its "
                "own. Get another copy of it."
            )
        self._names.add(same)


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
        workflows = dict(data.get(WORKFLOWS, {}).items())
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
            f"{source.where} lacks or misshapes a field ({error!s:.300}). Restore the file from a "
            "copy, or tell the story anew."
        ) from error


def _load_panel(
    source: _Bounded, index: int, entry: Mapping[str, Any], workflows: Mapping[str, Json]
) -> Panel:
    origin, seed = entry["origin"], entry["seed"]
    if origin not in ORIGINS or not (seed is None or _whole(seed, -MAX_SEED, MAX_SEED)):
        raise TypeError(f"origin or seed of panel {index}")
    ids = entry["token_ids"]
    if not isinstance(ids, list) or not all(_whole(token, 0, MAX_TOKEN) for token in ids):
        raise TypeError(f"token_ids of panel {index}")
    image, features = entry["image"], entry["features"]
    provenance = dict(entry["provenance"].items())
    known = provenance.get(WORKFLOW)
    if isinstance(known, str) and known in workflows:
        provenance[WORKFLOW] = workflows[known]
    return Panel(
        caption=_text(entry["caption"]),
        text=_text(entry["text"]),
        origin=origin,
        token_ids=tuple(ids),
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
    name = _text(relative)
    data = read_plain(folder, name, MAX_FEATURES)
    if data is None:
        raise SeedStoryError(
            f"The features of {what}, {folder / name}, are missing. The story cannot go on or be "
            "painted without them: restore the file from a copy, or tell the story anew."
        )
    return features_of(data, str(folder / name), what)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{shown(value)} where text is expected")
    return value


def _whole(value: object, least: int, below: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < below


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
    raw = manifest_bytes(folder)
    if raw is None:
        raise SeedStoryError(
            f"{folder} is not a story folder: it has no {MANIFEST}. Point at the folder of a run."
        )
    return parse_manifest(raw, str(folder / MANIFEST))


def manifest_bytes(folder: Path) -> bytes | None:
    """The bytes of ``story.json``, None where there is none."""
    return read_plain(folder, MANIFEST, MAX_MANIFEST)


def has_manifest(folder: Path) -> bool:
    """Whether ``folder`` has a ``story.json``, be it one that is refused, as a link."""
    try:
        file = open_plain(folder / MANIFEST)
    except SeedStoryError:
        return True
    if file is not None:
        file.close()
    return file is not None


def parse_manifest(raw: bytes, where: str) -> Mapping[str, Any]:
    """The bytes of a ``story.json``; ``where`` is what to call it in messages."""
    parts, texts, values = raw.count(b"[") + raw.count(b"{"), raw.count(b'"') // 2, raw.count(b",")
    if parts > MAX_PARTS or texts > MAX_TEXTS or values > MAX_VALUES:
        raise SeedStoryError(
            f"{where} is not read: it has {parts} lists and objects, {texts} texts and {values} "
            f"values, more than any story ({MAX_PARTS}, {MAX_TEXTS}, {MAX_VALUES})."
        )
    remedy = "Restore it from a copy, or tell the story anew."
    data = parse_json(raw, where, remedy, deepest=MAX_DEPTH, nul=True)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise SeedStoryError(f"{where} is not a story: expected an object with format {FORMAT!r}.")
    version = data.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= VERSION:
        raise SeedStoryError(
            f"{where} has version {shown(version)}; this program reads up to {VERSION}. Update it."
        )
    return data


def find_stories(root: Path) -> dict[str, Path]:
    """``{folder name: folder}`` of every story directly under ``root``, newest first."""
    found = []
    try:
        entries = [entry.path for entry in os.scandir(root)]
    except OSError:
        return {}
    for path in entries:
        manifest = f"{path}/{MANIFEST}"
        if os.path.isfile(manifest):
            with contextlib.suppress(OSError):  # it may go at any time
                found.append((-os.stat(manifest).st_mtime_ns, path))
    return {Path(path).name: Path(path) for _, path in sorted(found)}
