"""What a machine lacks, said in words: memory, room, open files, a working disk, packages.

Such faults come as errors of Python, of torch and of the system, from any depth; `in_words` stands
around whatever users start (a command, a node) and turns them into a sentence with what to do.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import sys
from collections.abc import Iterator
from pathlib import Path

from .errors import SeedStoryError
from .files import disk_words

#: What libraries say, in small letters, when the system gives them no memory.
_NO_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "could not allocate memory",
    "not enough memory",
    "failed to allocate",
    "unable to allocate",
    "bad_alloc",
    "bad allocation",
    "failed to map segment",  # a library that cannot be loaded
    "can't start new thread",
    "paging file is too small",
    "(os error 12)",  # as safetensors says it
)
_NO_DEVICE_MEMORY = ("cuda out of memory", "hip out of memory", "xpu out of memory", "mps backend")
_WINDOWS = {8, 14, 1450, 1455}  # not enough memory, resources, or paging file
_OF_THE_DISK = {"ENOSPC", "EFBIG", "EDQUOT", "EROFS", "ENAMETOOLONG", "EMFILE", "ENFILE"}
_OF_THE_DISK |= {"EIO", "ENXIO", "ENODEV", "ESTALE", "ENOTCONN", "EREMOTEIO", "EHOSTDOWN"}

#: Bytes that torch and the smallest world take at the least: 730 MB of data when torch is loaded
#: with its libraries for graphics cards, 790 MB resident when a panel of Picture World is told.
LEAST = 720 << 20

MEMORY = (
    "There is too little memory ({why}). Close other programs; or take less at once: smaller "
    "pictures, fewer panels, a smaller world, --at-once 1, a shorter --context. What was finished "
    "before is kept."
)
DEVICE_MEMORY = (
    "The device has too little memory ({why}). Close what else uses it; or take less at once: "
    "--at-once 1, a shorter --context, --quantise int8, smaller pictures, or --device cpu. "
    "What was finished before is kept."
)


def require_memory(size: int = LEAST) -> None:
    """Refuse to begin what cannot end: libraries that run out of memory while they are loaded end
    in anything, also in a crash. Asks the system for the room and gives it back untouched.

    Raises:
        SeedStoryError: the system does not give it.
    """
    if "torch" in sys.modules:
        return
    flags = {} if sys.platform == "win32" else {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS}
    with in_words(), contextlib.closing(mmap.mmap(-1, size, **flags)):
        pass


def lacks_memory(error: BaseException) -> bool:
    """Whether ``error`` says that the system gave no memory (of the machine, not of a device)."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and (
        error.errno == errno.ENOMEM or getattr(error, "winerror", None) in _WINDOWS
    ):
        return True
    return any(sign in str(error).lower() for sign in _NO_MEMORY)


def words(error: BaseException, device: bool = True) -> str | None:
    """What to tell users; None where ``error`` says of no lack of the machine's.

    Args:
        device: also where a device (a graphics card) has too little memory.
    """
    if isinstance(error, RuntimeError) and _lacks_device_memory(error):
        return DEVICE_MEMORY.format(why=_first_line(error)) if device else None
    if lacks_memory(error):
        return MEMORY.format(why=_first_line(error))
    if isinstance(error, ImportError):
        return _of_a_package(error)
    return _of_a_file(error) if isinstance(error, OSError) else None


def _of_a_package(error: ImportError) -> str | None:
    package = (error.name or "").split(".")[0]
    if not package or package == __name__.split(".")[0]:
        return None  # of this library itself: a fault of ours
    return (
        f"The package {package} cannot be imported here ({_first_line(error)}): it is missing, or "
        "another installation broke it. Install it into the Python that runs this: "
        "pip install -r requirements.txt, in the folder of this pack."
    )


def _lacks_device_memory(error: RuntimeError) -> bool:
    said = str(error).lower()
    named = type(error).__name__ == "OutOfMemoryError"  # torch's, without loading torch
    return named or any(sign in said for sign in _NO_DEVICE_MEMORY) and "out of memory" in said


def _of_a_file(error: OSError) -> str | None:
    known = errno.errorcode.get(error.errno or 0)
    name = error.filename if isinstance(error.filename, str) else None
    if known in _OF_THE_DISK:
        return disk_words(error, Path(name or "a file"), whole=False)
    if known in ("EACCES", "EPERM") and name:
        return (
            f"{name} may not be used ({error.strerror}): it belongs to somebody else, is "
            "read-only, or is open in another program. Give yourself the rights, close that "
            "program, or choose another place."
        )
    return None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


@contextlib.contextmanager
def in_words(device: bool = True) -> Iterator[None]:
    """Turns what the machine lacks into a `SeedStoryError`; see `words`.

    Args:
        device: False where the host looks after the memory of devices itself.
    """
    try:
        yield
    except (MemoryError, RuntimeError, ImportError, OSError) as error:
        said = words(error, device)
        if said is None:
            raise
        raise SeedStoryError(said) from error
