"""Stories as the tree that Story View draws: from the edge, or from what is kept on disk.

A tree is plain JSON: ``panels``, each with its ``uid`` and that of its ``parent`` (uids are hash
chains, so panels that several stories share are one panel of the tree), and ``branches``, one for
each story in the order given, each with the uid of its last panel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.story_reader import MANIFEST, find_stories, panel_entries, read_manifest
from ...seedstory_core.story_store import divergence, safe_name
from ...seedstory_core.types import Story
from ...seedstory_core.world import inside
from .display import preview
from .folders import stories_folder

UID_DIGITS = 16  # of a panel's uid, in trees and in the view's ``branch``
MOST_BRANCHES = 64  # read from disk for one view

Tree = dict[str, list[dict[str, Any]]]


def short(uid: str) -> str:
    """The digits of a uid that trees use."""
    return uid[:UID_DIGITS]


def story_tree(stories: Sequence[Story]) -> Tree:
    """The tree of ``stories``; pictures go into files, equal ones into one."""
    panels: dict[str, dict[str, Any]] = {}
    branches = []
    for story in stories:
        before = ""
        for number, panel in enumerate(story.panels):
            uid = short(panel.uid)
            if uid not in panels or panels[uid]["image"] is None:
                shown = _panel(uid, before, number, panel.caption, preview(panel))
                panels[uid] = shown
            before = uid
        branches.append(_branch(before, kept_folder(story), story.run, story.closing))
    return {"panels": list(panels.values()), "branches": branches}


def kept_tree(names: Iterable[str]) -> Tree:
    """The tree of the stories in the folders ``names`` of ``output/seedstory``.

    A folder that is not there, or holds no sound story, is left out.
    """
    found = find_stories(stories_folder())
    panels: dict[str, dict[str, Any]] = {}
    branches = []
    for name in islice((name for name in dict.fromkeys(names) if name in found), MOST_BRANCHES):
        try:
            data = read_manifest(found[name])
            line = _kept_panels(found[name], data)
        except (SeedStoryError, OSError):
            continue
        for panel in line:
            if panels.get(panel["uid"], {}).get("image") is None:
                panels[panel["uid"]] = panel
        tip = line[-1]["uid"] if line else ""
        branches.append(_branch(tip, name, str(data.get("run", "")), data.get("closing")))
    return {"panels": list(panels.values()), "branches": branches}


def kept_folder(story: Story) -> str:
    """Name of the folder that holds ``story`` or begins with it, as `keep` names them; else ""."""
    root = stories_folder()
    folder, tried = root / safe_name(story.run), set()
    while (folder / MANIFEST).is_file() and folder not in tried:
        tried.add(folder)
        try:
            split = divergence(folder, story)
        except SeedStoryError:
            split = 0
        if split is None:
            return folder.name
        folder = root / f"{safe_name(story.run)}~{story.panels[split].uid[:8]}"
    return ""


def _kept_panels(folder: Path, data: Mapping[str, Any]) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    for number, entry in enumerate(panel_entries(data, folder)):
        before = shown[-1]["uid"] if shown else ""
        uid = short(str(entry.get("uid") or f"{folder.name}/{number}"))
        caption = str(entry.get("caption", ""))
        shown.append(_panel(uid, before, number, caption, _kept_picture(folder, entry)))
    return shown


def _kept_picture(folder: Path, entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """Where ``/view`` finds the picture; ``version`` changes whenever it is painted anew."""
    relative = entry.get("image")
    if not isinstance(relative, str) or not inside(folder, relative).is_file():
        return None
    place = (Path(stories_folder().name) / folder.name / relative).as_posix()
    subfolder, _, filename = place.rpartition("/")
    version = str(entry.get("image_sha256", ""))[:UID_DIGITS]
    return {"filename": filename, "subfolder": subfolder, "type": "output", "version": version}


def _panel(
    uid: str, parent: str, number: int, caption: str, image: Mapping[str, Any] | None
) -> dict[str, Any]:
    return {"uid": uid, "parent": parent, "number": number, "caption": caption, "image": image}


def _branch(tip: str, folder: str, run: str, closing: object) -> dict[str, Any]:
    words = closing if isinstance(closing, str) else ""
    return {"tip": tip, "folder": folder, "run": run, "closing": words}
