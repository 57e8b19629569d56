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
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from .errors import SeedStoryError

CHUNK = 1 << 22  # bytes read at once while hashing
PART = ".part"
_MANY = 32  # files; waiting for the disk takes some milliseconds for each
_RANDOM = 4  # bytes in the name of a temporary file
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
#: What linking says where a file system has no second names for files.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


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
    """Turns a disk that is full (or over quota) or read-only into a `SeedStoryError`.

    Args:
        target: what is being written, for the message.
        needed: bytes it will take where known, for the message when the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FORBIDDEN:
            raise SeedStoryError(
                f"Cannot write to {target} ({error.strerror}): the disk is read-only, or this "
                "belongs to somebody else or is open in another program. Make it writable or "
                "choose another folder; what was there is as it was."
            ) from error
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
        SeedStoryError: the disk is full or read-only; the temporary file is gone then, as after
            any error.
    """
    part = _part_of(target)
    with disk_guard(target, needed):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            _sync(part)
            os.replace(part, target)
            sync_folder(target.parent)
        finally:
            part.unlink(missing_ok=True)


def _part_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(_RANDOM)}{PART}")


def _sync(part: Path) -> None:
    with open(part, "rb+") as file:
        os.fsync(file.fileno())


def atomic_write_bytes(target: Path, data: bytes | memoryview) -> None:
    """Write ``data`` to ``target``, whole or not at all."""
    with atomic_path(target, len(data)) as part:
        part.write_bytes(data)


@contextlib.contextmanager
def atomic_batch() -> Iterator[Callable[[Path, bytes], None]]:
    """Yields what writes ``(target, data)``; the files get their names when the block ends well.

    Each is whole or absent, as by `atomic_write_bytes`, but the disk is not waited for after every
    one of many files.

    Raises:
        SeedStoryError: the disk is full or read-only; none of the files has changed then.
    """
    parts: dict[Path, Path] = {}

    def write(target: Path, data: bytes) -> None:
        with disk_guard(target, len(data)):
            target.parent.mkdir(parents=True, exist_ok=True)
            parts[target] = _part_of(target)
            parts[target].write_bytes(data)

    try:
        yield write
        if len(parts) > _MANY and hasattr(os, "sync"):
            os.sync()  # waits for the disk once
        else:
            for target, part in parts.items():
                with disk_guard(target):
                    _sync(part)
        for target, part in parts.items():
            with disk_guard(target):
                os.replace(part, target)
        for folder in {target.parent for target in parts}:
            sync_folder(folder)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def atomic_write_new(targets: Iterable[Path], data: bytes) -> Path | None:
    """Write ``data`` to the first of ``targets`` that is free, whole or not at all.

    Never over another file, also when several processes ask for the same names at once.

    Returns: the one it was; None where none was free.

    Raises:
        SeedStoryError: the disk is full or read-only.
    """
    targets = iter(targets)
    target = next(targets, None)
    if target is None:
        return None
    part = _part_of(target)
    with disk_guard(target, len(data)):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(data)
            _sync(part)
            while target is not None and not _took(part, target):
                target = next(targets, None)
            sync_folder(part.parent)
        finally:
            part.unlink(missing_ok=True)
    return target


def _took(part: Path, target: Path) -> bool:
    """Give ``part`` the name ``target`` unless another file has it."""
    try:
        if os.name == "nt":
            os.rename(part, target)  # which replaces nothing there
        else:
            os.link(part, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without second names, as on a memory card. Whoever asks for the same name
        # between these two steps is not seen.
        if target.exists():
            return False
        os.rename(part, target)
    return True


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
    ours = f".*.{'[0-9a-f]' * 2 * _RANDOM}{PART}"
    pattern = f"**/{ours}" if below else ours
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
