"""The stories in a folder, from their manifests alone: no feature and no picture is read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SeedStoryError
from ..story_reader import MANIFEST, MAX_MANIFEST, panel_entries, parse_manifest, read_manifest
from .archive import SUFFIX, open_archive


@dataclass(frozen=True)
class Line:
    """One story of a list: its folder or file, and what it is in a few words."""

    path: Path
    summary: str


def kept_stories(root: Path) -> list[Line]:
    """Story folders and story files directly in ``root``, newest first; damaged ones say so."""
    found = []
    for path in root.iterdir():
        packed = path.suffix.lower() == SUFFIX and os.path.isfile(path)
        manifest = path if packed else path / MANIFEST
        if os.path.isfile(manifest):
            with contextlib.suppress(OSError):  # it may go at any time
                found.append((manifest.stat().st_mtime_ns, path))
    return [Line(path, _summary(path)) for _, path in sorted(found, reverse=True)]


def _summary(path: Path) -> str:
    try:
        data = read_manifest(path) if path.is_dir() else _manifest(path)
        entries = panel_entries(data, path)
        painted = sum(entry.get("image") is not None for entry in entries)
        state = "open" if data.get("closing") is None else "ended"
        return f"{len(entries)} panels, {painted} with a picture, {state}; world {_world(data)}"
    except SeedStoryError as error:
        return f"cannot be read: {error}"


def _world(data: Mapping[str, Any]) -> str:
    world = data.get("world")
    return str(world.get("name")) if isinstance(world, dict) else "unknown"


def _manifest(path: Path) -> Mapping[str, Any]:
    with open_archive(path) as archive:
        return parse_manifest(archive.manifest(MAX_MANIFEST), str(path))
