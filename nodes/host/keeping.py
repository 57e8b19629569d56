"""Keeping stories on disk, and telling the page that watches so that it shows them at once."""

from __future__ import annotations

from collections import OrderedDict
from itertools import count
from pathlib import Path
from typing import Any

from ...seedstory_core.story_store import keep
from ...seedstory_core.types import Story
from .folders import stories_folder
from .progress import announce

#: Received by web/story_tree.js: which node kept how many panels in which folder.
KEPT_EVENT = "seedstory.kept"
MOST = 256  # nodes whose newest message is remembered

_numbers = count(1)
_newest: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()


def keep_story(story: Story) -> Path:
    """Save ``story`` among the stories; the folder it is in. The page that waits is told of it."""
    folder = keep(stories_folder(), story)
    said = {"folder": folder.name, "panels": len(story), "message": next(_numbers)}
    sent = announce(KEPT_EVENT, said)
    if sent is not None:
        client, message = sent
        key = (client, message["node"])
        _newest[key] = message
        _newest.move_to_end(key)
        while len(_newest) > MOST:
            _newest.popitem(last=False)
    return folder


def kept_since(client: str, message: int) -> list[dict[str, Any]]:
    """The newest message of each node after number ``message``, for a page that lost touch."""
    found = [m for (who, _), m in list(_newest.items()) if who == client]
    return sorted((m for m in found if m["message"] > message), key=lambda m: m["message"])
