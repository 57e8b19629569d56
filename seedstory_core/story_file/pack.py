"""A story, or the folder of one, into one file."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import SeedStoryError
from ..feature_files import MAX_FEATURES
from ..files import atomic_path
from ..locks import LOCK, check_lock, folder_lock
from ..picture_files import MAX_FILE
from ..plain_files import is_plain, name_fault, plain_size, read_plain
from ..story_reader import MANIFEST, manifest_bytes, panel_entries, parse_manifest
from ..story_writer import manifest_bytes_of, save_parts
from ..strict_json import shown
from ..types import Story
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
    archive.add(MANIFEST, manifest_bytes_of(data))


def pack_folder(folder: Path, path: Path) -> Path:
    """Pack what ``folder/story.json`` names, replaced pictures too, byte for byte, into ``path``.

    Raises:
        SeedStoryError: no story, a file it names is missing or leads out of the folder, or the
            disk is full or read-only; a file that was at ``path`` is as it was.
    """
    # a folder that may be written to right now: never between the files of a panel
    check_lock(folder / LOCK)
    if (folder / LOCK).exists() and os.access(folder / LOCK, os.W_OK):
        with folder_lock(folder):
            return _pack_folder(folder, path)
    return _pack_folder(folder, path)


def _pack_folder(folder: Path, path: Path) -> Path:
    raw = manifest_bytes(folder)
    if raw is None:
        raise SeedStoryError(f"{folder} is not a story folder: it has no {MANIFEST}.")
    manifest = parse_manifest(raw, str(folder / MANIFEST))
    names = named_files(manifest, folder / MANIFEST)
    lacking = [name for name in names if not is_plain(folder, name)]
    if lacking:
        raise SeedStoryError(
            f"{folder} lacks {len(lacking)} of the files its {MANIFEST} names, as "
            f"{', '.join(lacking[:3])}. Restore them from a copy."
        )
    with atomic_path(path, sum(plain_size(folder, name) for name in names)) as part:
        with open(part, "wb") as out, ArchiveWriter(out) as archive:
            for name in names:
                archive.add(name, read_plain(folder, name, max(MAX_FEATURES, MAX_FILE)) or b"")
            archive.add(MANIFEST, raw)
    return path


def named_files(manifest: Mapping[str, Any], where: Path | str) -> list[str]:
    """The files that a manifest names, in the order of the archive and each once.

    Raises:
        SeedStoryError: a field has another shape than the manifest's, or a name is none that all
            systems can keep, or stands for another file of the story too.
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
    found = dict.fromkeys(_name(name, where) for name in names if name is not None)
    _apart(list(found), where)
    return list(found)


def _name(name: object, where: Path | str) -> str:
    if not isinstance(name, str):
        raise SeedStoryError(f"{where} names files by other things than text.")
    fault = name_fault(name)
    if not fault and any(part.startswith(".") for part in name.split("/")):
        fault = "has a hidden name"
    if fault:
        raise SeedStoryError(
            f"{where} is not read: the file {shown(name)} that it names {fault}, and leaves its "
            "folder or cannot be kept. Get another copy of it."
        )
    return name


def _apart(names: Sequence[str], where: Path | str) -> None:
    """Refuse names of which two are one file somewhere, or one is the folder of another."""
    taken = {MANIFEST: MANIFEST}
    for name in names:
        if taken.setdefault(name.casefold(), name) != name:
            raise SeedStoryError(
                f"{where} is not read: it names {name!r} beside {taken[name.casefold()]!r}, which "
                "are one file on some systems. Get another copy of it."
            )
    if MANIFEST in names:
        raise SeedStoryError(f"{where} is not read: it names itself as a file of a panel.")
    for name in names:
        parts = name.casefold().split("/")
        above = [folder for n in range(1, len(parts)) if (folder := "/".join(parts[:n])) in taken]
        if above:
            raise SeedStoryError(
                f"{where} is not read: the file {name!r} that it names lies below {above[0]!r}, "
                "which is a file too. Get another copy of it."
            )
