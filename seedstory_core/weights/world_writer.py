"""Writes world.json, the last file of a world to appear: with it the folder counts as a world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import SeedStoryError
from ..files import atomic_write_json, sha256_of
from ..world import FORMAT, VERSION, World, inside, load_world


def write_world_json(
    folder: Path,
    *,
    title: str,
    engine: str,
    sizes: Mapping[str, Any],
    files: Mapping[str, str],
    panel_size: tuple[int, int],
    licence: str,
    provenance: Mapping[str, Any],
    painter: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    openings: Sequence[Mapping[str, str]] = (),
    notice: str = "",
    hashes: Mapping[str, str] | None = None,
    identity: str = "",
) -> World:
    """Hash ``files``, write ``folder/world.json`` whole or not at all, and read it back.

    Args:
        folder: the world; its bare name is the world's name.
        sizes: the engine's configuration as JSON.
        files: ``{role: path relative to folder}``; all must be there.
        panel_size: native (width, height) in pixels.
        hashes: ``{relative path: sha256}`` known from writing; other files are read and hashed.
        identity: 64 hexadecimal digits that tell this world from others in place of its files'
            hashes (`world.World.digest`).

    Raises:
        SeedStoryError: a file is missing, or a path leaves the folder.
    """
    data = {
        "format": FORMAT,
        "version": VERSION,
        "title": title,
        "engine": engine,
        "sizes": dict(sizes),
        "files": {
            role: _entry(folder, relative, hashes or {}) for role, relative in sorted(files.items())
        },
        "panel_size": list(panel_size),
        "licence": licence,
        "provenance": dict(provenance),
        "painter": None if painter is None else dict(painter),
        "defaults": dict(defaults or {}),
        "openings": [dict(item) for item in openings],
        "notice": notice,
    }
    if identity:
        data["identity"] = identity
    atomic_write_json(folder / "world.json", data)
    return load_world(folder)


def _entry(folder: Path, relative: str, hashes: Mapping[str, str]) -> dict[str, Any]:
    path = inside(folder, relative)
    if not path.is_file():
        raise SeedStoryError(
            f"A world must have {relative}, but {path} is missing: nothing was written."
        )
    relative = str(PurePosixPath(relative.replace("\\", "/")))
    known = hashes.get(relative)
    return {
        "path": relative,
        "bytes": path.stat().st_size,
        "sha256": sha256_of(path) if known is None else known,
    }
