"""The stories on disk as the page asks for them: each is read once until it changes.

The page asks whenever it comes back and whenever a panel is kept, for all stories it shows. One of
them that is damaged, or from elsewhere and odd, is left out; the others are shown.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.plain_files import is_plain
from ...seedstory_core.story_reader import MANIFEST, find_stories, panel_entries, read_manifest
from .folders import stories_folder
from .trees import UID_DIGITS, Tree, branch_of, panel_of, short

MOST_BRANCHES = 64  # read from disk for one view
MOST_LINES, MOST_PANELS = 256, 100_000  # stories, and panels of all, that are remembered
MOST_READ = 256 << 20  # bytes of manifests read anew for one answer


class _Line(NamedTuple):
    """What a tree shows of one story; ``stamp`` is the state of its files that this was read from.

    Attributes:
        panels: None where the story cannot be read.
    """

    stamp: tuple[int, ...]
    panels: list[dict[str, Any]] | None
    run: str = ""
    closing: object = None


class Shelf:
    """Trees of the stories in ``output/seedstory``, remembered within bounds."""

    def __init__(self) -> None:
        self._lines: OrderedDict[Path, _Line] = OrderedDict()
        self._reading = threading.Lock()  # one at a time: memory for one manifest, nothing twice

    def tree(self, names: Iterable[str]) -> Tree:
        """The tree of the stories in the folders ``names``, see `trees`.

        A folder that is not there, or holds no sound story, is left out.
        """
        found = find_stories(stories_folder())
        panels: dict[str, dict[str, Any]] = {}
        branches = []
        left = MOST_READ
        for name in islice((name for name in dict.fromkeys(names) if name in found), MOST_BRANCHES):
            line, read = self._line(found[name], left)
            left -= read
            if line is None or line.panels is None:
                continue
            for panel in line.panels:
                if panels.get(panel["uid"], {}).get("image") is None:
                    panels[panel["uid"]] = panel
            tip = line.panels[-1]["uid"] if line.panels else ""
            branches.append(branch_of(tip, name, line.run, line.closing))
        return {"panels": list(panels.values()), "branches": branches}

    def _line(self, folder: Path, most: int) -> tuple[_Line | None, int]:
        """What is known of a story, and bytes that were read for it; None beyond ``most``."""
        with self._reading:
            try:
                state = os.stat(folder / MANIFEST)
                stamp = (state.st_mtime_ns, state.st_size, state.st_ino, _time_of(folder))
            except OSError:  # gone since it was found
                return None, 0
            line = self._lines.get(folder)
            if line is not None and line.stamp == stamp:
                self._lines.move_to_end(folder)
                return line, 0
            if state.st_size > most:
                return None, 0
            line = self._lines[folder] = _read(folder, stamp)
            self._lines.move_to_end(folder)
            while len(self._lines) > MOST_LINES or self._held() > MOST_PANELS:
                self._lines.popitem(last=False)
            return line, state.st_size

    def _held(self) -> int:
        return sum(len(line.panels or ()) for line in self._lines.values())


def _time_of(folder: Path) -> int:
    """When pictures came or went: a picture may be taken away without the manifest's knowing."""
    pictures = folder / "panels"
    return os.stat(pictures).st_mtime_ns if os.path.isdir(pictures) else 0


def _read(folder: Path, stamp: tuple[int, ...]) -> _Line:
    try:
        data = read_manifest(folder)
        panels = _kept_panels(folder, data)
    except (SeedStoryError, OSError):
        return _Line(stamp, None)
    return _Line(stamp, panels, str(data.get("run", "")), data.get("closing"))


def _kept_panels(folder: Path, data: Mapping[str, Any]) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    for number, entry in enumerate(panel_entries(data, folder)):
        before = shown[-1]["uid"] if shown else ""
        uid = short(str(entry.get("uid") or f"{folder.name}/{number}"))
        caption = str(entry.get("caption", ""))
        shown.append(panel_of(uid, before, number, caption, _kept_picture(folder, entry)))
    return shown


def _kept_picture(folder: Path, entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """Where ``/view`` finds the picture; ``version`` changes whenever it is painted anew."""
    relative = entry.get("image")
    if not isinstance(relative, str) or not is_plain(folder, relative):
        return None
    place = (Path(stories_folder().name) / folder.name / relative).as_posix()
    subfolder, _, filename = place.rpartition("/")
    version = str(entry.get("image_sha256", ""))[:UID_DIGITS]
    return {"filename": filename, "subfolder": subfolder, "type": "output", "version": version}
