"""One writer at a time in a folder: between processes, and gone with the process that held it.

The lock is the system's own on an empty file ``.lock``, through `filelock` (which torch needs and
brings). A killed process holds nothing; where a file system has no locks, all goes on without.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import SeedStoryError
from .files import disk_guard

LOCK = ".lock"
PATIENCE = 30.0  # seconds; one save takes well under one, on a slow disk a few

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def folder_lock(
    folder: Path, busy: str = "", patience: float = PATIENCE, name: str = LOCK
) -> Iterator[None]:
    """Hold ``folder`` for writing; it is made where it is missing. Not reentrant.

    Args:
        busy: what to tell users when another process keeps it for longer than ``patience``.

    Raises:
        SeedStoryError: another process holds it, or the folder cannot be written to.
    """
    with disk_guard(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / name, timeout=patience)
        try:
            lock.acquire()
        except Timeout as error:
            busy = busy or "Wait until it has ended, or choose another folder; nothing was changed."
            raise SeedStoryError(f"Another run is writing to {folder}. {busy}") from error
        except NotImplementedError as error:
            logger.info("no locks in %s: %s", folder, error)
    try:
        yield
    finally:
        lock.release()
