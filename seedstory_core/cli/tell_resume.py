"""``tell --resume``: the options a run was begun with lie in its folder, so it needs no others."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import SeedStoryError
from ..files import atomic_write_json

OPTIONS = "tell.json"
MAX_OPTIONS = 1 << 20  # bytes; a command is a few hundred
_ONCE = {"command", "verbose", "out", "resume", "plan"}  # of one command, not of its run


def words_of(args: argparse.Namespace, defaults: Mapping[str, Any]) -> list[str]:
    """The command line that gives ``args`` again, without what is as by default."""
    words: list[str] = []
    for key, value in vars(args).items():
        if key in _ONCE or key not in defaults or value == defaults[key]:
            continue
        flag = f"--{key.replace('_', '-')}"
        if value is True:
            words.append(flag)
        else:
            words.append(f"{flag}={_absolute(value)}")
    return words


def _absolute(value: Any) -> str:
    """Paths as seen from anywhere; also the world's, where it is one and no name."""
    if isinstance(value, Path) or (
        isinstance(value, str) and (Path(value) / "world.json").exists()
    ):
        return str(Path(value).resolve())
    return str(value)


def remember(folder: Path, words: list[str]) -> None:
    """Keep the options of a run in its folder."""
    atomic_write_json(folder / OPTIONS, {"format": "seedstory-tell", "version": 1, "words": words})


def remembered(folder: Path) -> list[str]:
    """The options a run in ``folder`` was begun with, as words of a command line.

    Raises:
        SeedStoryError: no run was begun there, or the file is damaged.
    """
    path = folder / OPTIONS
    if not path.is_file():
        raise SeedStoryError(
            f"--resume finds no run in {folder} (no {OPTIONS}). Repeat the command it was begun "
            "with: that goes on as well."
        )
    if path.stat().st_size <= MAX_OPTIONS:
        try:
            words = json.loads(path.read_text(encoding="utf-8")).get("words")
        except (ValueError, AttributeError, RecursionError):
            words = None
        if isinstance(words, list) and all(isinstance(w, str) and w[:2] == "--" for w in words):
            return words
    raise SeedStoryError(f"{path} is damaged. Repeat the command the run was begun with.")
