"""Stories as the tree that Story View draws: here from the edge, in `shelf` from what is on disk.

A tree is plain JSON: ``panels``, each with its ``uid`` and that of its ``parent`` (uids are hash
chains, so panels that several stories share are one panel of the tree), and ``branches``, one for
each story in the order given, each with the uid of its last panel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.story_reader import MANIFEST
from ...seedstory_core.story_store import divergence, safe_name
from ...seedstory_core.types import Story
from .display import preview
from .folders import stories_folder

UID_DIGITS = 16  # of a panel's uid, in trees and in the view's ``branch``

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
                shown = panel_of(uid, before, number, panel.caption, preview(panel))
                panels[uid] = shown
            before = uid
        branches.append(branch_of(before, kept_folder(story), story.run, story.closing))
    return {"panels": list(panels.values()), "branches": branches}


def kept_folder(story: Story) -> str:
    """Name of the folder that holds ``story`` or begins with it, as `keep` names them; else ""."""
    from ...seedstory_core.names import place_for

    root = stories_folder()
    folder, tried = place_for(root, safe_name(story.run)), set()
    while (folder / MANIFEST).is_file() and folder not in tried:
        tried.add(folder)
        try:
            split = divergence(folder, story)
        except SeedStoryError:
            split = 0
        if split is None:
            return folder.name
        folder = place_for(root, f"{safe_name(story.run)}~{story.panels[split].uid[:8]}")
    return ""


def panel_of(
    uid: str, parent: str, number: int, caption: str, image: Mapping[str, Any] | None
) -> dict[str, Any]:
    """One panel of a tree."""
    return {"uid": uid, "parent": parent, "number": number, "caption": caption, "image": image}


def branch_of(tip: str, folder: str, run: str, closing: object) -> dict[str, Any]:
    """One story of a tree."""
    words = closing if isinstance(closing, str) else ""
    return {"tip": tip, "folder": folder, "run": run, "closing": words}
