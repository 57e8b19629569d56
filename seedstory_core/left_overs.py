"""Temporary names beside the final ones, and what killed runs leave under them.

A file or folder grows as ``.<name>.<8 hexadecimal digits>.part``. As long as its writer lives, it
holds that (a lock of the system's on POSIX, an open file on Windows, both gone with the process),
so that a left-over can be told from work in hand and is swept by the next who writes the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from . import held

if sys.platform != "win32":
    import fcntl

PART = ".part"
HOLD = ".held"  # in a growing folder: the file that is held for it
OLD = 24 * 3600  # seconds; where a file system has no locks, what is older is left over
MAX_BYTES = 255  # of a name, on nearly all file systems
_RANDOM = 4  # bytes in the name
_EXTRA = len(f"..{'0' * 2 * _RANDOM}{PART}")
_OURS = re.compile(rf"\.(.+)\.[0-9a-f]{{{2 * _RANDOM}}}{re.escape(PART)}", re.DOTALL)


def part_of(target: Path) -> Path:
    """A new temporary name beside ``target``."""
    return target.with_name(f".{_stem(target.name)}.{secrets.token_hex(_RANDOM)}{PART}")


def _stem(name: str) -> str:
    """What stands for ``name`` in the names of its parts: itself, shortened where too long."""
    raw = os.fsencode(name)
    if len(raw) <= MAX_BYTES - _EXTRA:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:16]
    return f"{raw[: MAX_BYTES - _EXTRA - len(digest) - 1].decode(errors='ignore')}-{digest}"


@contextlib.contextmanager
def held_file(target: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """An empty part of ``target``, and what lets go of it (to be called before it is moved).

    At the end it is removed, unless it was moved.
    """
    while True:
        part = part_of(target)
        file = open(part, "x+b")
        if _hold(file) and part.exists():  # else swept before it was held
            break
        file.close()
    try:
        yield part, file.close
    finally:
        file.close()
        held.discard(part)


@contextlib.contextmanager
def held_folder(target: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """As `held_file`, an empty folder; letting go removes the file that was held."""
    while True:
        part = part_of(target)
        part.mkdir()
        with contextlib.suppress(FileNotFoundError):
            file = open(part / HOLD, "x+b")
            if _hold(file) and (part / HOLD).exists():
                break
            file.close()

    def let_go() -> None:
        file.close()
        held.unlink(part / HOLD)

    try:
        yield part, let_go
    finally:
        file.close()
        held.discard(part)


def _hold(file: BinaryIO) -> bool:
    """Hold ``file`` until it is closed; False where another process holds it."""
    if sys.platform == "win32":
        return True  # nobody can remove it while it is open
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True


def sweep(folder: Path, of: str | None = None, folders: bool = False) -> list[Path]:
    """Remove what killed runs left in ``folder``, and nothing that a live process holds.

    Args:
        of: left-overs of this name alone.
        folders: also those that are folders.

    Returns: what was removed.
    """
    stem = None if of is None else _stem(of)
    try:
        with os.scandir(folder) as entries:
            found = [e for e in entries if e.name.endswith(PART) and e.name.startswith(".")]
    except OSError:  # not there, or not ours to look into
        return []
    gone = []
    for entry in sorted(found, key=lambda entry: entry.name):
        match = _OURS.fullmatch(entry.name)
        if match is None or stem not in (None, match[1]):
            continue
        path = Path(entry.path)
        whole = entry.is_dir(follow_symlinks=False)
        if (folders if whole else entry.is_file(follow_symlinks=False)) and _swept(path, whole):
            gone.append(path)
    return gone


def _swept(path: Path, whole: bool) -> bool:
    """Remove a part if nobody holds it; whether it is gone."""
    mark = path / HOLD if whole else path
    try:
        if sys.platform == "win32":
            with contextlib.suppress(FileNotFoundError):
                os.unlink(mark)  # refused while it is open
        else:
            with open(mark, "rb+", opener=_no_link) as file:
                if not _abandoned(file):
                    return False
                os.unlink(mark)
    except FileNotFoundError:  # a folder of which nothing is held
        if not whole:
            return False
    except OSError:  # open elsewhere, or of another user
        return False
    if whole:
        held.discard(path)
    return not os.path.lexists(path)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))


def _abandoned(file: BinaryIO) -> bool:
    if sys.platform == "win32":
        return True
    state = os.fstat(file.fileno())
    if not stat.S_ISREG(state.st_mode):
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return time.time() - state.st_mtime > OLD
    return True
