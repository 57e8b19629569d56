"""Where authors' files lie under ComfyUI: scripts in ``input``, character cards in ``user``."""

from __future__ import annotations

from pathlib import Path

import folder_paths

from ...seedstory_core.author.cards import MANIFEST, cards_in
from ...seedstory_core.author.scripts import SUFFIXES
from ...seedstory_core.errors import SeedStoryError
from .folders import KEY
from .names import listed

NONE = "(none)"
MOST = 1000  # files listed


def characters_folder() -> Path:
    """``user/seedstory/characters``: every card has a folder of its own in it."""
    return Path(folder_paths.get_user_directory()) / KEY / "characters"


def card_choices() -> list[str]:
    """Folder names of all cards."""
    return list(cards_in(characters_folder())) or [NONE]


def cards_state() -> str:
    """Changes whenever a card does."""
    found = cards_in(characters_folder())
    times = {name: (folder / MANIFEST).stat().st_mtime_ns for name, folder in found.items()}
    return str(times)


def _scripts() -> dict[str, Path]:
    """Script files in ``input`` and ``input/seedstory``, by the names they are listed under."""
    root = Path(folder_paths.get_input_directory())
    found: dict[str, Path] = {}
    for folder in (root / KEY, root):
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        for path in files:
            if path.suffix.lower() in SUFFIXES and path.is_file() and len(found) < MOST:
                found[path.relative_to(root).as_posix()] = path
    return found


def script_choices() -> list[str]:
    """Names of all script files."""
    return list(_scripts()) or [NONE]


def script_file(name: str) -> Path:
    """The script listed as ``name``; no name leads anywhere else.

    Raises:
        SeedStoryError: there is none of this name.
    """
    found = _scripts()
    known = listed(name, found)
    if known is None:
        raise SeedStoryError(
            f"There is no script {name!r} in ComfyUI's input folder. Found: "
            f"{', '.join(list(found)[:10]) or 'none'}. Put a .txt, .md or .json file there."
        )
    return found[known]
