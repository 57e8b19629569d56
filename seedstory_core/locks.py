"""One writer at a time in a folder: between processes, and gone with the process that held it.

The lock is the system's own on an empty file ``.lock``, through `filelock` (which torch needs and
brings). A killed process holds nothing; where a file system has no locks, all goes on without.
Versions of `filelock` empty whatever lies there, a link's target too, so in a folder from elsewhere
only a plain file of that one name is taken for a lock.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import SeedStoryError
from .files import disk_guard
from .plain_files import refuse_link

LOCK = ".lock"
PATIENCE = 30.0  # seconds; one save takes well under one, on a slow disk a few

#: What systems say of names: too long, or with links that lead in a circle or were put there since.
_NAMES = {errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def folder_lock(
    folder: Path, busy: str = "", patience: float = PATIENCE, name: str = LOCK
) -> Iterator[None]:
    """Hold ``folder`` for writing; it is made where it is missing. Not reentrant.

    Args:
        busy: what to tell users when another process keeps it for longer than ``patience``.

    Raises:
        SeedStoryError: another process holds it, the folder cannot be written to, or what lies
            under the lock's name is no lock of ours: a link, or a file with another name too.
    """
    lock = FileLock(folder / name, timeout=patience)
    with disk_guard(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            check_lock(folder / name)
            lock.acquire()
        except SeedStoryError:
            raise
        except Timeout as error:
            busy = busy or "Wait until it has ended, or choose another folder; nothing was changed."
            raise SeedStoryError(f"Another run is writing to {folder}. {busy}") from error
        except NotImplementedError as error:
            logger.info("no locks in %s: %s", folder, error)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise SeedStoryError(
                f"{folder} cannot be written to ({error.strerror}): expected a folder, or a name "
                "that is free. Choose another."
            ) from error
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno not in _NAMES:
                raise
            raise SeedStoryError(
                f"{str(folder)[:200]!r} cannot be the name of a folder ({error}). Choose another."
            ) from error
    try:
        yield
    finally:
        lock.release()


def check_lock(path: Path) -> None:
    """An error where ``path`` is there and no lock: a link, or not a plain file of one name."""
    refuse_link(path)
    try:
        state = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
        raise SeedStoryError(
            f"{path} is no lock of a story: expected an empty file, got a folder, a device, or a "
            "file that has another name too. Move it elsewhere; nothing was changed."
        )
