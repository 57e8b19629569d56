"""A story file back into a story, or into a folder."""

from __future__ import annotations

import io
import os
from pathlib import Path

from torch import Tensor

from ..errors import SeedStoryError
from ..feature_files import MAX_FEATURES, features_of
from ..files import atomic_batch, atomic_folder, atomic_write_bytes, require_space
from ..picture_files import MAX_FILE, PNG_ONLY, decode_picture
from ..plain_files import MAX_NAME, free_path
from ..story_reader import MANIFEST, MAX_MANIFEST, parse_manifest, story_of
from ..types import Story
from .archive import Archive, open_archive
from .pack import named_files


class ArchiveSource:
    """The files of a story in an archive; nothing is written to disk."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.where = f"{MANIFEST} in {archive.where}"

    def size(self, relative: str) -> int:
        """Bytes of one member, 0 where it is missing."""
        return self.archive.size(relative)

    def features(self, relative: str, what: str) -> dict[str, Tensor]:
        """``{space: tensor}`` of one member."""
        data = self.read(relative, MAX_FEATURES, f"features of {what}")
        return features_of(data, f"{relative} in {self.archive.where}", what)

    def picture(self, relative: str) -> Tensor:
        """uint8 [H, W, 3]."""
        data = self.read(relative, MAX_FILE, "picture")
        return decode_picture(data, f"{relative} in {self.archive.where}", PNG_ONLY)

    def read(self, relative: str, most: int, what: str) -> bytes:
        """The bytes of one member; ``what`` it is, for the message when it is missing."""
        data = self.archive.read(relative, most)
        if data is None:
            raise SeedStoryError(
                f"The {what}, {relative!r:.200}, is missing in {self.archive.where}. Get another "
                "copy of the file, or pack the story folder again."
            )
        return data


def open_story_file(path: Path) -> Story:
    """The story in a story file, as it was packed.

    Raises:
        SeedStoryError: no story file, one that is cut short, damaged, of a newer version, or that
            means harm (see `Archive`). The file is only read.
    """
    with open_archive(path) as archive:
        return story_in(archive)


def open_story_bytes(data: bytes, where: str = "the story file") -> Story:
    """As `open_story_file`, from bytes; ``where`` is what to call them in messages."""
    with Archive(io.BytesIO(data), where, len(data)) as archive:
        return story_in(archive)


def story_in(archive: Archive) -> Story:
    """The story of an archive."""
    raw = archive.manifest(MAX_MANIFEST)
    source = ArchiveSource(archive)
    return story_of(parse_manifest(raw, source.where), source)


def unpack_story_file(path: Path, folder: Path) -> Story:
    """Unpack into a new ``folder``, which then is a story folder; whole or not at all.

    Everything is read first, so that a file that means harm leaves nothing; what ``story.json``
    names is then unpacked byte for byte, and nothing else.

    Raises:
        SeedStoryError: as `open_story_file`; or ``folder`` is there already; or the disk is full
            or read-only.
    """
    if len(os.fsencode(folder.name)) > MAX_NAME:
        raise SeedStoryError(f"The name {folder.name:.80}... is too long for a folder.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SeedStoryError(f"{folder} is there already. Give a new or empty folder.")
    with open_archive(path) as archive:
        require_space(folder, path.stat().st_size, "Unpacking the story")
        story = story_in(archive)
        with atomic_folder(folder) as making:
            _unpack(archive, making)
    return story


def _unpack(archive: Archive, folder: Path) -> None:
    raw = archive.manifest(MAX_MANIFEST)
    source = ArchiveSource(archive)
    manifest = parse_manifest(raw, source.where)
    with atomic_batch() as write:
        for name in named_files(manifest, source.where):
            write(free_path(folder, name), source.read(name, max(MAX_FEATURES, MAX_FILE), "file"))
    atomic_write_bytes(folder / MANIFEST, raw)
