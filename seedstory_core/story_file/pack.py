"""A story, or the folder of one, into one file."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import SeedStoryError
from ..files import atomic_path, json_bytes
from ..locks import LOCK, folder_lock
from ..story_reader import MANIFEST, panel_entries, read_manifest
from ..story_writer import save_parts
from ..types import Story
from ..world import inside
from .archive import ArchiveWriter


class _ArchiveSink:
    """Where `save_parts` puts files: into the archive, in the order they come."""

    def __init__(self, archive: ArchiveWriter) -> None:
        self.archive = archive

    def write(self, relative: str, data: bytes) -> None:
        self.archive.add(relative, data)

    def set_aside(self, index: int, before: Mapping[str, Any]) -> dict[str, Any]:
        raise AssertionError(f"panel {index} of a new archive has no earlier picture")


def pack_story(story: Story) -> bytes:
    """The story file of ``story``; equal stories give equal bytes with one Pillow.

    Raises:
        SeedStoryError: more panels than a story may have.
    """
    buffer = io.BytesIO()
    with ArchiveWriter(buffer) as archive:
        _write(story, archive)
    return buffer.getvalue()


def save_story_file(story: Story, path: Path) -> Path:
    """Write the story file of ``story``, whole or not at all.

    Raises:
        SeedStoryError: the disk is full or read-only; a file that was there is as it was.
    """
    with atomic_path(path) as part, open(part, "wb") as file:
        with ArchiveWriter(file) as archive:
            _write(story, archive)
    return path


def _write(story: Story, archive: ArchiveWriter) -> None:
    data = save_parts(story, _ArchiveSink(archive))
    archive.add(MANIFEST, json_bytes(data))


def pack_folder(folder: Path, path: Path) -> Path:
    """Pack what ``folder/story.json`` names, replaced pictures too, byte for byte, into ``path``.

    Raises:
        SeedStoryError: no story, a file it names is missing or leads out of the folder, or the
            disk is full or read-only; a file that was at ``path`` is as it was.
    """
    # a folder that may be written to right now: never between the files of a panel
    if (folder / LOCK).exists() and os.access(folder / LOCK, os.W_OK):
        with folder_lock(folder):
            return _pack_folder(folder, path)
    return _pack_folder(folder, path)


def _pack_folder(folder: Path, path: Path) -> Path:
    manifest = read_manifest(folder)
    raw = (folder / MANIFEST).read_bytes()
    files = {name: inside(folder, name) for name in named_files(manifest, folder)}
    lacking = [name for name, file in files.items() if not file.is_file()]
    if lacking:
        raise SeedStoryError(
            f"{folder} lacks {len(lacking)} of the files its {MANIFEST} names, as "
            f"{', '.join(lacking[:3])}. Restore them from a copy."
        )
    with atomic_path(path, sum(f.stat().st_size for f in files.values())) as part:
        with open(part, "wb") as out, ArchiveWriter(out) as archive:
            for name, file in files.items():
                archive.add(name, file.read_bytes())
            archive.add(MANIFEST, raw)
    return path


def named_files(manifest: Mapping[str, Any], where: Path | str) -> list[str]:
    """The files that a manifest names, in the order of the archive and each once.

    Raises:
        SeedStoryError: a field has another shape than the manifest's.
    """
    names: list[Any] = []
    try:
        for entry in panel_entries(manifest, where):
            names += [entry["features"], entry["image"]]
            names += [earlier["image"] for earlier in entry.get("earlier", [])]
        for who in manifest["characters"]:
            names += [*who["images"], who["features"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise SeedStoryError(f"{where} lacks or misshapes a field ({error}).") from error
    found = [name for name in names if name is not None]
    if not all(isinstance(name, str) for name in found):
        raise SeedStoryError(f"{where} names files by other things than text.")
    return list(dict.fromkeys(found))
