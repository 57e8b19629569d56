"""Opens files in folders from elsewhere: plain files under plain names, never through a link.

A folder or an archive of a stranger's may hold links, pipes and devices, and names that lead out of
it or that not every system can keep. The folder itself may be a link: that is its owner's. Hard
links are plain files. Where the system can say so, a file is opened so that no link is followed
even if it was put there a moment ago.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import IO

from .errors import SeedStoryError
from .files import human
from .names import fault

MAX_NAME = 240  # bytes of one name; a temporary file beside it takes 15 more, file systems 255
MAX_PATH = 240  # characters of a whole path in a story
_SURROGATE = 0x20000000  # of Windows' tags: the file stands for another one


def name_fault(name: str) -> str:
    """Why no file from elsewhere may have the path ``name``; "" where it may.

    Paths are relative, with forward slashes. The words complete "the path NAME ...".
    """
    parts = name.split("/")
    if len(name) > MAX_PATH or not name.isprintable():
        return "has a name that is too long or has control characters"
    if "\\" in name or ":" in name or not parts[0] or ".." in parts:
        return "leads out of the story"
    if any(len(part.encode()) > MAX_NAME for part in parts):
        return "has a name that is too long or has control characters"
    for part in parts:
        if fault(part) is not None:
            return "has a name that not every system can keep"
    return ""


def is_link(path: Path) -> bool:
    """Whether ``path`` stands for another file: a symbolic link, or a junction of Windows."""
    try:
        state = os.lstat(path)
    except (OSError, ValueError):
        return False
    tag = getattr(state, "st_reparse_tag", 0)
    return stat.S_ISLNK(state.st_mode) or bool(tag & _SURROGATE)


def plain_path(folder: Path, relative: str) -> Path:
    """``folder/relative``, whether or not it is there.

    Raises:
        SeedStoryError: the path leaves ``folder``, is no plain name, or goes through a link.
    """
    reason = name_fault(relative)
    if reason:
        raise SeedStoryError(
            f"The path {_short(relative)} leaves its folder {folder} or {reason}; refusing it."
        )
    path = folder
    for part in relative.split("/"):
        path = path / part
        refuse_link(path)
    return path


def free_path(folder: Path, relative: str) -> Path:
    """`plain_path` of a file that is to be written: no folder has its name, no file its folder's.

    Raises:
        SeedStoryError: as `plain_path`, or something else lies there.
    """
    path = plain_path(folder, relative)
    above = [folder.joinpath(*relative.split("/")[:n]) for n in range(1, relative.count("/") + 1)]
    blocked = [place for place in above if place.exists() and not place.is_dir()]
    if blocked or path.is_dir():
        raise SeedStoryError(
            f"{path} cannot be written: {(*blocked, path)[0]} is there already, and is "
            f"{'no' if blocked else 'a'} folder. Move it elsewhere."
        )
    return path


def refuse_link(path: Path) -> None:
    """An error if ``path`` is a link."""
    if is_link(path):
        raise SeedStoryError(
            f"{path} is a link, which leaves its folder; refusing it. Put the file itself there, "
            "or take the link away."
        )


def open_plain(path: Path) -> IO[bytes] | None:
    """The plain file ``path`` for reading; None where there is none.

    Raises:
        SeedStoryError: it is a link, or no plain file, or may not be read.
    """
    refuse_link(path)
    # without O_NONBLOCK the opening of a pipe would wait for a writer
    wanted = ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC", "O_NOINHERIT")
    flags = os.O_RDONLY
    for name in wanted:
        flags |= getattr(os, name, 0)
    try:
        handle = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        if path.is_dir():  # which Windows refuses to open
            return None
        raise SeedStoryError(f"{_short(str(path))} cannot be read ({error!s:.300}).") from error
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(mode):
        return None
    raise SeedStoryError(f"{path} is no plain file, but a pipe or a device; refusing it.")


def open_chosen(path: Path) -> IO[bytes]:
    """The file that a user named, for reading; a link is followed, since it is the user's.

    Raises:
        SeedStoryError: there is none, or it may not be read.
    """
    if not os.path.isfile(path):
        raise SeedStoryError(f"There is no file at {_short(str(path))}. Check the path.")
    try:
        return open(path, "rb")
    except (OSError, ValueError) as error:
        raise SeedStoryError(f"{path} cannot be read ({error!s:.300}).") from error


def read_plain(folder: Path, relative: str, most: int) -> bytes | None:
    """The bytes of a file in ``folder``; None where there is none.

    Raises:
        SeedStoryError: as `plain_path` and `open_plain`, or it is larger than ``most`` bytes.
    """
    path = plain_path(folder, relative)
    file = open_plain(path)
    if file is None:
        return None
    with file:
        try:
            # what it says first: a sparse file of a terabyte takes no space, but memory
            size = os.fstat(file.fileno()).st_size
            data = file.read(most + 1) if size <= most else b""
        except OSError as error:
            raise SeedStoryError(f"{path} cannot be read ({error!s:.300}).") from error
    if max(size, len(data)) > most:
        raise SeedStoryError(f"{path} is larger than {human(most)}; it is not read.")
    return data


def plain_size(folder: Path, relative: str) -> int:
    """Bytes of a file in ``folder``, 0 where it is missing; errors as `plain_path`."""
    try:
        state = os.lstat(plain_path(folder, relative))
    except OSError:
        return 0
    return state.st_size if stat.S_ISREG(state.st_mode) else 0


def is_plain(folder: Path, relative: str) -> bool:
    """Whether ``folder`` has such a plain file; errors as `plain_path`."""
    try:
        return stat.S_ISREG(os.lstat(plain_path(folder, relative)).st_mode)
    except OSError:
        return False


def _short(text: str) -> str:
    return repr(text if len(text) <= MAX_PATH else f"{text[:MAX_PATH]}...")
