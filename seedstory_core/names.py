"""Names of files and folders that mean the same on every system.

Folders travel: from Linux to Windows, through a zip, over a share. So a name is made (`safe_name`)
or checked (`fault`) by the rules of all systems at once, and names that are one on any of them, as
``Fox`` and ``fox`` on Windows and macOS, or an ``\u00e9`` of one letter or two, are one everywhere
(`place_for`).
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

MAX_BYTES = 255  # of a name, on nearly all file systems
MAX_MADE = 120  # bytes of a name that is made here: endings and numbers follow, and other folders
#: What Windows allows in no name.
FORBIDDEN = frozenset('<>:"/\\|?*')
#: Devices of Windows, which are no files in any folder and with any ending.
DEVICES = frozenset(
    ("con", "prn", "aux", "nul", "conin$", "conout$", "clock$")
    + tuple(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789\u00b9\u00b2\u00b3")
)


def is_device(name: str) -> bool:
    """Whether Windows takes ``name`` for a device: ``con``, ``AUX.txt``, ``nul .png``."""
    return name.split(".")[0].rstrip(" ").lower() in DEVICES


def fault(name: str) -> str | None:
    """Why ``name`` is no file's name on some system, to follow the name; None for a good one."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return "has half a letter"
    if not name or length > MAX_BYTES:
        return f"has {length} bytes; names have 1 to {MAX_BYTES}"
    if any(char in FORBIDDEN or unicodedata.category(char) == "Cc" for char in name):
        return f"has control characters or one of {' '.join(sorted(FORBIDDEN))}"
    if name[-1] in ". ":
        return "ends in a dot or a blank, which Windows drops"
    if is_device(name):
        return "is a device of Windows"
    return None


def safe_name(wanted: str, default: str = "story") -> str:
    """A name on every system that reads like ``wanted``: ``a/b: c?`` -> ``a_b_ c_``.

    Args:
        default: the name where nothing is left of ``wanted``.
    """
    begun = wanted.strip(" .~")[: 4 * MAX_MADE]  # composing takes the square of many marks
    text = unicodedata.normalize("NFC", begun.encode(errors="replace").decode())
    kept = "".join(
        "_" if char in FORBIDDEN or unicodedata.category(char)[0] == "C" else char for char in text
    )
    short = kept.strip(" .~").encode()[:MAX_MADE].decode(errors="ignore")
    name = short.strip(" .~") or default
    return f"_{name}"[:MAX_MADE] if is_device(name) else name


def key(name: str) -> str:
    """Equal for names that are one on some system: without case, in composed letters."""
    folded = unicodedata.normalize("NFC", name).casefold()
    return unicodedata.normalize("NFC", folded).rstrip(" .")


def place_for(root: Path, name: str) -> Path:
    """``root/name``, or what is in ``root`` already under a name that is the same somewhere."""
    if (root / name).exists() or not root.is_dir():
        return root / name
    wanted = key(name)
    same = sorted(path.name for path in root.iterdir() if key(path.name) == wanted)
    return root / (same[0] if same else name)
