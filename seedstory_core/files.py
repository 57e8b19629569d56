"""Files that are whole or absent: atomic writing, disk space, hashing.

Everything lands under a temporary name first (see `left_overs`), is synced, and only then takes its
final name; a crash leaves at most such a temporary file, never half of a real one, and the next who
writes the same file sweeps it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from . import held
from .errors import SeedStoryError
from .left_overs import MAX_BYTES, PART, held_file, held_folder, part_of, sweep

__all__ = [
    "CHUNK",
    "PART",
    "atomic_batch",
    "atomic_folder",
    "atomic_path",
    "atomic_write_bytes",
    "atomic_write_json",
    "atomic_write_new",
    "disk_guard",
    "disk_words",
    "free_bytes",
    "human",
    "json_bytes",
    "require_space",
    "sha256_of",
    "sweep_parts",
    "sync_folder",
]

CHUNK = 1 << 22  # bytes read at once while hashing
_MANY = 32  # files; waiting for the disk takes some milliseconds for each
_WINDOWS_PATH = 259  # letters of a whole path, where long paths are not switched on


def _known(*names: str) -> set[int]:
    """Numbers of errors by name, those that this system has."""
    return {getattr(errno, name) for name in names if hasattr(errno, name)}


_FULL = _known("ENOSPC", "EFBIG", "EDQUOT")
#: What linking says where a file system has no second names for files.
_NO_LINKS = _known("EPERM", "EACCES", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EXDEV")
_FORBIDDEN = _known("EROFS", "EACCES", "EPERM")
_BROKEN = _known("EIO", "ENXIO", "ENODEV", "ESTALE", "ENOTCONN", "EREMOTEIO", "EHOSTDOWN")
_MANY_OPEN = _known("EMFILE", "ENFILE")
_GONE = _known("ENOENT", "ENOTDIR")
#: What syncing a folder says where a file system (or its rights) does not allow that.
_NO_SYNC = _known("EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EBADF", "EACCES", "EPERM", "EISDIR")
_TOO_LONG, _NO_NAME = 206, 123  # of Windows, which has no number of its own in errno for them


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
    """Turns what a disk may refuse or fail at into a `SeedStoryError`; see `disk_words`.

    Args:
        target: what is being written, for the message.
        needed: bytes it will take where known, for the message when the disk is full.
    """
    try:
        yield
    except OSError as error:
        words = disk_words(error, target, needed)
        if words is None:
            raise
        raise SeedStoryError(words) from error


def disk_words(
    error: OSError, target: Path, needed: int | None = None, whole: bool = True
) -> str | None:
    """What to tell users when writing ``target`` fails for the disk's sake; None: another fault.

    Args:
        whole: whether the file appears whole or not at all, as all do that are written here.
    """
    code, number = getattr(error, "winerror", None), error.errno
    kept = "; nothing half-written was kept" if whole else ""
    if number in _FORBIDDEN:
        return (
            f"Cannot write to {target} ({error.strerror}): the disk is read-only, or this "
            "belongs to somebody else or is open in another program. Make it writable or "
            "choose another folder; what was there is as it was."
        )
    if number in _FULL:
        free = free_bytes(target.parent)
        wants = "" if needed is None else f"needed {human(needed)} ({needed} bytes), "
        return (
            f"Disk full while writing {target}: {wants}{human(free)} ({free} bytes) are free "
            f"({error.strerror}). Free some space and run it again{kept}."
        )
    if number == errno.ENAMETOOLONG or code in (_TOO_LONG, _NO_NAME) or _is_long(target, number):
        return (
            f"{target} is no name that this system takes ({error.strerror}): a name has at most "
            f"{MAX_BYTES} bytes, and on Windows a whole path {_WINDOWS_PATH} letters. Choose a "
            "shorter or simpler one."
        )
    if number in _GONE and not target.parent.is_dir():
        return (
            f"The folder {target.parent} is gone: it was removed or renamed while this was written "
            "to it. What was in it is not here any more; run this again to make it anew."
        )
    if number in _BROKEN:
        return (
            f"The disk with {target}, or the connection to it, failed ({error.strerror}). Check "
            f"it, or choose another folder{kept}."
        )
    if number in _MANY_OPEN:
        return (
            f"{target} cannot be opened: too many files are open ({error.strerror}). Close other "
            "programs, or allow more (on Linux and macOS: ulimit -n 4096), and run this again."
        )
    return None


def _windows() -> bool:
    return os.name == "nt"


def _is_long(target: Path, number: int | None) -> bool:
    """Windows says of too long a path that it is not there."""
    return _windows() and number in _GONE and len(str(target)) > _WINDOWS_PATH


def sync_folder(folder: Path) -> None:
    """Make renames inside ``folder`` survive a power cut.

    Windows does so by itself; some file systems know no such thing, and that is no error.
    """
    if os.name != "posix":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


@contextlib.contextmanager
def atomic_path(target: Path, needed: int | None = None) -> Iterator[Path]:
    """A temporary file beside ``target`` that becomes ``target`` when the block ends well.

    What killed runs left of ``target`` is swept first.

    Args:
        target: the final path; its folder is made.
        needed: bytes the file will take where known, for the message when the disk is full.

    Raises:
        SeedStoryError: the disk is full, read-only or failing, or another program holds
            ``target``; the temporary file is gone then, as after any error.
    """
    with disk_guard(target, needed), _folder(target.parent):
        sweep(target.parent, of=target.name)
        with held_file(target) as (part, let_go):
            yield part
            _sync(part)
            let_go()
            held.replace(part, target)
        sync_folder(target.parent)


@contextlib.contextmanager
def atomic_folder(target: Path, over: bool = False) -> Iterator[Path]:
    """A temporary folder beside ``target`` that becomes ``target`` when the block ends well.

    What killed runs left of ``target`` is swept first. A file or folder of files in its place is
    never touched, unless ``over`` says so; an empty folder is replaced.

    Raises:
        SeedStoryError: as `atomic_path`; or ``target`` is there.
    """
    with disk_guard(target), _folder(target.parent):
        sweep(target.parent, of=target.name, folders=True)
        with held_folder(target) as (part, let_go):
            yield part
            let_go()
            _sync_all([path for path in part.rglob("*") if path.is_file()])
            if over:
                held.rmtree(target)
            elif target.is_dir() and not any(target.iterdir()):
                held.rmdir(target)
            elif os.path.lexists(target):
                raise SeedStoryError(f"{target} is there already. Give a new or empty folder.")
            held.replace(part, target)
        sync_folder(target.parent)


@contextlib.contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Makes ``folder``; what is new of it and still empty in the end goes again."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for path in new:
            with contextlib.suppress(OSError):  # there is something in it, as there should be
                path.rmdir()


def _sync(part: Path) -> None:
    def sync() -> None:
        with open(part, "rb+") as file:
            os.fsync(file.fileno())

    held.patiently(sync, "written", part)


def atomic_write_bytes(target: Path, data: bytes | memoryview) -> None:
    """Write ``data`` to ``target``, whole or not at all."""
    with atomic_path(target, len(data)) as part:
        part.write_bytes(data)


@contextlib.contextmanager
def atomic_batch() -> Iterator[Callable[[Path, bytes], None]]:
    """Yields what writes ``(target, data)``; the files get their names when the block ends well.

    Each is whole or absent, as by `atomic_write_bytes`, but the disk is not waited for after every
    one of many files. One batch at a time in a folder: what another left there is swept.

    Raises:
        SeedStoryError: the disk is full, read-only or failing; none of the files has changed then,
            unless another program holds one of them.
    """
    parts: dict[Path, Path] = {}
    folders: set[Path] = set()
    with contextlib.ExitStack() as made:

        def write(target: Path, data: bytes) -> None:
            with disk_guard(target, len(data)):
                if target.parent not in folders:
                    made.enter_context(_folder(target.parent))
                    folders.add(target.parent)
                    sweep(target.parent)
                parts[target] = part_of(target)
                parts[target].write_bytes(data)

        try:
            yield write
            _name_all(parts)
        finally:
            for part in parts.values():
                held.discard(part)
        for folder in folders:
            with disk_guard(folder):
                sync_folder(folder)


def _sync_all(parts: Collection[Path]) -> None:
    if len(parts) > _MANY and hasattr(os, "sync"):
        os.sync()  # once for all
        return
    for part in parts:
        with disk_guard(part):
            _sync(part)


def _name_all(parts: dict[Path, Path]) -> None:
    """Wait for the disk, then give the parts their names."""
    _sync_all(parts.values())
    for target, part in parts.items():
        with disk_guard(target):
            held.replace(part, target)


def atomic_write_new(targets: Iterable[Path], data: bytes) -> Path | None:
    """Write ``data`` to the first of ``targets`` that is free, whole or not at all.

    Never over another file, also when several processes ask for the same names at once.

    Returns: the one it was; None where none was free.

    Raises:
        SeedStoryError: the disk is full, read-only or failing.
    """
    targets = iter(targets)
    target = next(targets, None)
    if target is None:
        return None
    with disk_guard(target, len(data)), _folder(target.parent):
        with held_file(target) as (part, let_go):
            part.write_bytes(data)
            _sync(part)
            let_go()
            while target is not None and not _took(part, target):
                target = next(targets, None)
            sync_folder(part.parent)
    return target


def _took(part: Path, target: Path) -> bool:
    """Give ``part`` the name ``target`` unless another file has it."""
    try:
        if _windows():
            held.rename(part, target)  # which replaces nothing there
        else:
            held.link(part, target)
    except FileExistsError:
        return False
    except (OSError, SeedStoryError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if _windows() or getattr(cause, "errno", None) not in _NO_LINKS:
            raise
        # A file system without second names, as on a memory card. Whoever asks for the same name
        # between these two steps is not seen.
        if target.exists():
            return False
        held.rename(part, target)
    return True


def json_bytes(value: Any) -> bytes:
    """``value`` as readable UTF-8 JSON; NaN is refused."""
    return (json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()


def atomic_write_json(target: Path, value: Any) -> None:
    """Write ``value`` as `json_bytes`, whole or not at all."""
    atomic_write_bytes(target, json_bytes(value))


def sweep_parts(folder: Path, below: bool = False) -> list[Path]:
    """Remove temporary files that killed runs left in ``folder``; see `left_overs`.

    Args:
        below: also those in its folders; links are not followed.
    """
    folders = [Path(path) for path, _, _ in os.walk(folder)] if below else [folder]
    return [part for place in folders for part in sweep(place)]


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
