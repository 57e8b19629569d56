"""Files that are whole or absent: atomic writing, disk space, hashing.

Everything lands under a temporary name first (``.<name>.<random>.part``), is synced, and only then
takes its final name; a crash leaves at most such a temporary file, never half of a real one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import SeedStoryError

CHUNK = 1 << 22  # bytes read at once while hashing
PART = ".part"
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def human(size: float) -> str:
    """1536 -> ``1.5 KB`` (steps of 1024)."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"


def free_bytes(folder: Path) -> int:
    """Free bytes where ``folder`` is, or will be once it is made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Refuse to begin what cannot end.

    Raises:
        SeedStoryError: fewer than ``needed`` bytes are free where ``folder`` is.
    """
    free = free_bytes(folder)
    if free < needed:
        raise SeedStoryError(
            f"{purpose} needs {human(needed)} ({needed} bytes) in {folder}, but {human(free)} "
            f"({free} bytes) are free. Free some space or choose another folder."
        )


@contextlib.contextmanager
def disk_guard(target: Path, needed: int | None = None) -> Iterator[None]:
    """Turns "disk full" (also over quota, file size limit) into a `SeedStoryError` with numbers."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        free = free_bytes(target.parent)
        wants = "" if needed is None else f"needed {human(needed)} ({needed} bytes), "
        raise SeedStoryError(
            f"Disk full while writing {target}: {wants}{human(free)} ({free} bytes) are free "
            f"({error.strerror}). Free some space and run it again; nothing half-written was kept."
        ) from error


def sync_folder(folder: Path) -> None:
    """Make renames inside ``folder`` survive a power cut (not needed, nor possible, on Windows)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def atomic_path(target: Path, needed: int | None = None) -> Iterator[Path]:
    """A temporary path beside ``target`` that becomes ``target`` when the block ends well.

    Args:
        target: the final path; its folder is made.
        needed: bytes the file will take where known, for the message when the disk is full.

    Raises:
        SeedStoryError: the disk is full; the temporary file is gone then, as after any error.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}{PART}")
    try:
        with disk_guard(target, needed):
            yield part
            with open(part, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(part, target)
            sync_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)


def atomic_write_bytes(target: Path, data: bytes | memoryview) -> None:
    """Write ``data`` to ``target``, whole or not at all."""
    with atomic_path(target, len(data)) as part:
        part.write_bytes(data)


def json_bytes(value: Any) -> bytes:
    """``value`` as readable UTF-8 JSON; NaN is refused."""
    return (json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()


def atomic_write_json(target: Path, value: Any) -> None:
    """Write ``value`` as `json_bytes`, whole or not at all."""
    atomic_write_bytes(target, json_bytes(value))


def sweep_parts(folder: Path, below: bool = False) -> list[Path]:
    """Remove temporary files that a killed run left in ``folder``; call it while nobody writes.

    Args:
        below: also those in its folders.
    """
    pattern = f"**/.*{PART}" if below else f".*{PART}"
    stale = sorted(folder.glob(pattern)) if folder.is_dir() else []
    for part in filter(Path.is_file, stale):
        part.unlink(missing_ok=True)
    return stale


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
