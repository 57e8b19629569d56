"""The zip itself: written so that equal stories are equal bytes, opened without trusting it.

Every member is stored, none deflated: pictures and features are as small as they get, the rest is
a kilobyte a panel, and what zlib makes differs from version to version. No member has a time.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

from ..errors import SeedStoryError
from ..files import human
from ..names import key
from ..plain_files import MAX_PATH, name_fault, open_chosen
from ..story_reader import MANIFEST, MAX_PANELS

SUFFIX = ".seedstory"
#: Media type of a story file, as in the data URL of an HTML page that carries one.
MEDIA_TYPE = "application/vnd.seedstory+zip"
#: Name of a story file as attachment of a PDF or member of an EPUB or CBZ (in any folder of it).
ATTACHMENT = "story.seedstory"

MAX_MEMBERS = 8 * MAX_PANELS
MAX_CONTENTS = 16 << 20  # bytes of the table of contents; a panel's two files take 150
MAX_RATIO = 4  # unpacked to packed; pictures and features do not shrink, bombs do by a thousand
SLACK = 64 << 20  # bytes that may come out of any archive, for manifests that were deflated
#: A deflated manifest: to so many times its size, and so many bytes more. Half of it are hashes.
MANIFEST_RATIO, MANIFEST_SLACK = 20, 4 << 20
_LOCAL = 30  # bytes before the name of a member, at least
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
#: What `zipfile` raises at bytes that are not as it expects.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,
    OSError,
    ValueError,
    LookupError,
    OverflowError,
    TypeError,
)


class ArchiveWriter:
    """Members in the order they are added; equal members make equal bytes, on every system.

    A context manager: its table of contents, without which it is no archive, comes at the end.

    Args:
        file: opened for writing, at its beginning.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True)

    def add(self, name: str, data: bytes) -> None:
        """Append one member."""
        info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
        info.create_system = 3  # Unix, wherever it is written
        info.external_attr = (stat.S_IFREG | 0o644) << 16
        self._zip.writestr(info, data, zipfile.ZIP_STORED)

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._zip.close()
        else:
            self._zip.fp = None  # or it would write on when it is collected


class _Contents:
    """A file that hands out few bytes at once, until `limit` is None.

    `zipfile` reads a whole table of contents before it says how long it is, and makes an object of
    hundreds of bytes from every 47 of it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.limit: int | None = MAX_CONTENTS
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if self.limit is None:
            return self._file.read(size)
        data = self._file.read(self.limit + 1 if size < 0 else min(size, self.limit + 1))
        if len(data) > self.limit:
            raise zipfile.BadZipFile(f"a table of contents of more than {human(self.limit)}")
        return data


class Archive:
    """A zip of a stranger's, read with bounds; a context manager.

    Args:
        file: opened for reading.
        where: what to call it in messages.
        size: its bytes.

    Raises:
        SeedStoryError: no zip, cut short, or with members that no story has: links, absolute
            paths or ``..``, two of one name, encrypted or oddly compressed ones, too many or too
            large.
    """

    def __init__(self, file: IO[bytes], where: str, size: int) -> None:
        self.where = where
        try:
            contents = _Contents(file)
            self._zip = zipfile.ZipFile(contents)  # type: ignore[arg-type]
            contents.limit = None
        except _BROKEN as error:
            raise SeedStoryError(
                f"{where} is no story file, or is cut short or damaged ({error!s:.300}). Copy or "
                "download it again; expected a zip that ends with its table of contents."
            ) from error
        self._members: dict[str, zipfile.ZipInfo] = {}
        self._check(size)

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()

    def _check(self, size: int) -> None:
        members = self._zip.infolist()
        if len(members) > MAX_MEMBERS:
            raise self._refused(f"it has {len(members)} members, more than {MAX_MEMBERS}")
        total = sum(member.file_size for member in members)
        if total > MAX_RATIO * size + SLACK:
            raise self._refused(
                f"{human(total)} would come out of {human(size)}: that is a zip bomb, or was "
                "packed by another program"
            )
        self._check_places(members)
        taken: set[str] = set()
        for member in members:
            reason = _fault(member)
            if reason is None and key(member.filename) in taken:
                reason = "is there twice"
            if reason is not None:
                raise self._refused(f"its member {member.filename[:MAX_PATH]!r} {reason}")
            taken.add(key(member.filename))
            self._members[member.filename] = member

    def _check_places(self, members: list[zipfile.ZipInfo]) -> None:
        """Members that share bytes would come out of nothing."""
        end = 0
        for member in sorted(members, key=lambda one: one.header_offset):
            if member.header_offset < end:
                raise self._refused(f"its member {member.filename[:MAX_PATH]!r} overlaps another")
            end = member.header_offset + _LOCAL + member.compress_size

    def _refused(self, reason: str) -> SeedStoryError:
        return SeedStoryError(f"{self.where} is not read: {reason}. Ask for another copy of it.")

    @property
    def names(self) -> list[str]:
        """Names of all members that are files, in order."""
        return [name for name in self._members if not name.endswith("/")]

    def size(self, name: str) -> int:
        """Bytes that a member takes in the archive, 0 where there is no such."""
        member = self._members.get(name)
        return 0 if member is None else member.compress_size

    def read(self, name: str, most: int) -> bytes | None:
        """The bytes of one member, None where there is no such.

        Raises:
            SeedStoryError: it is damaged, or larger than ``most`` bytes.
        """
        member = self._members.get(name)
        if member is None or name.endswith("/"):
            return None
        if member.file_size > most:
            raise self._refused(
                f"its member {name!r} takes {human(member.file_size)}, more than {human(most)}"
            )
        try:
            with self._zip.open(member) as file:
                data = file.read(most + 1)  # what is read counts, not what the member says
        except _BROKEN as error:
            raise SeedStoryError(
                f"{self.where} is damaged at its member {name!r} ({error!s:.300}). Copy or "
                "download it again."
            ) from error
        if len(data) > most:
            raise self._refused(f"its member {name!r} is larger than it says")
        return data

    def manifest(self, most: int) -> bytes:
        """The bytes of ``story.json``."""
        most = min(most, MANIFEST_RATIO * self.size(MANIFEST) + MANIFEST_SLACK)
        data = self.read(MANIFEST, most)
        if data is None:
            raise SeedStoryError(
                f"{self.where} is a zip, but no story file: it has no {MANIFEST} at its top. Pack "
                "a story folder with: seedstory story export FOLDER --to seedstory."
            )
        return data


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """The zip at ``path``; errors as `Archive`."""
    with open_chosen(path) as file:
        with Archive(file, str(path), os.fstat(file.fileno()).st_size) as archive:
            yield archive


def _fault(member: zipfile.ZipInfo) -> str | None:
    """What is wrong with a member, if anything."""
    name = member.filename
    kind = stat.S_IFMT(member.external_attr >> 16)
    fault = name_fault(name.removesuffix("/"))
    if fault:
        return fault
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if member.compress_type not in _METHODS:
        return f"is compressed by method {member.compress_type}, not stored or deflated"
    return None
