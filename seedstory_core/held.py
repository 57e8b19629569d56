"""Moving and removing what another program may hold for a moment.

On Windows virus scanners, indexers and sync programs open what was just written, and as long as
they do, it can be neither replaced nor removed (so can files on network shares from elsewhere).
Everything here tries again with growing waits for about two seconds and then says so. Links are
moved and removed as such, never followed.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .errors import SeedStoryError

#: Seconds between two tries; scanners mostly let go within the first tenth.
WAITS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.5, 0.5)
#: What Windows says: access denied, sharing or lock violation, mapped into memory.
_HELD = {5, 32, 33, 1224}
_NOT_EMPTY = 145  # a folder whose last file is removed but still open elsewhere

T = TypeVar("T")
logger = logging.getLogger(__name__)


def patiently(act: Callable[[], T], verb: str, *paths: Path) -> T:
    """What ``act`` returns; it is tried again while another program seems to hold a file.

    Args:
        act: does one thing to ``paths`` or nothing.
        verb: what it does, for the message: "replaced", "removed".
        paths: the file that counts first.

    Raises:
        SeedStoryError: still refused after the last try.
        OSError: everything else, at once.
    """
    for wait in WAITS:
        try:
            return act()
        except OSError as error:
            if not _is_held(error, paths):
                raise
        time.sleep(wait)
    try:
        return act()
    except OSError as error:
        if not _is_held(error, paths):
            raise
        raise SeedStoryError(
            f"{paths[0]} cannot be {verb} ({error.strerror}): another program holds it, such as a "
            "virus scanner, an indexer, a sync program or a viewer. Close it, or let it leave this "
            "folder alone, and run this again; what was there is as it was."
        ) from error


def _is_held(error: OSError, paths: tuple[Path, ...]) -> bool:
    """Whether it may go in a moment; what is forbidden for good is not waited for."""
    code = getattr(error, "winerror", None)
    if code is not None:
        return code in _HELD
    # elsewhere the same comes from shares of Windows; who may not write to a folder waits in vain
    refused = error.errno in (errno.EACCES, errno.EBUSY)
    return refused and all(os.access(path.parent, os.W_OK) for path in paths)


def replace(source: Path, target: Path) -> None:
    """`os.replace`: ``source`` gets the name ``target``, in the place of what has it.

    Raises:
        SeedStoryError: another program holds one of them.
    """
    patiently(lambda: os.replace(source, target), "replaced", target, source)


def rename(source: Path, target: Path) -> None:
    """`os.rename`; what has the name ``target`` is replaced on POSIX and an error on Windows."""
    patiently(lambda: os.rename(source, target), "given its name", target, source)


def link(source: Path, target: Path) -> None:
    """`os.link`: a second name for ``source``."""
    patiently(lambda: os.link(source, target), "given its name", target, source)


def unlink(path: Path) -> None:
    """Remove a file; it may be missing."""
    with contextlib.suppress(FileNotFoundError):
        patiently(lambda: os.unlink(path), "removed", path)


def rmdir(path: Path) -> None:
    """Remove an empty folder."""
    patiently(lambda: os.rmdir(path), "removed", path)


def rmtree(path: Path) -> None:
    """Remove a folder with all that is in it; it may be missing."""

    def remove() -> None:
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            if os.path.lexists(path):  # somebody else removes the same
                raise PermissionError(errno.EACCES, "it changes", str(path)) from None
        except OSError as error:
            if getattr(error, "winerror", None) == _NOT_EMPTY:
                raise PermissionError(errno.EACCES, "still in use", str(path)) from error
            raise

    patiently(remove, "removed", path)


def discard(path: Path) -> None:
    """Remove a left-over, file or folder, as far as that is possible; the rest is swept later.

    For the end of work that has failed or succeeded already: raises nothing of its own.
    """
    with contextlib.suppress(FileNotFoundError):
        try:
            if path.is_dir() and not path.is_symlink():
                rmtree(path)
            else:
                unlink(path)
        except (OSError, SeedStoryError) as error:
            logger.info("left over: %s", error)
