"""Keeping stories on disk, and telling the page that watches so that it shows them at once."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

from ...seedstory_core.story_file import with_workflow
from ...seedstory_core.story_store import keep
from ...seedstory_core.types import Story
from .carrying import running_workflow
from .folders import stories_folder
from .progress import announce

#: Received by web/story_view.js: which node kept how many panels in which folder.
KEPT_EVENT = "seedstory.kept"
MOST = 256  # nodes whose newest message is remembered


class Messages:
    """The newest message of each node to each client, for pages that lose touch for a while.

    Attributes:
        newest: number of the newest message; they count up from 1.
    """

    def __init__(self) -> None:
        self.newest = 0
        self._last: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()

    def send(self, folder: str, panels: int) -> None:
        """Tell the page that queued the running prompt; silent where nobody is watching."""
        number = self.newest + 1
        sent = announce(KEPT_EVENT, {"folder": folder, "panels": panels, "message": number})
        if sent is None:
            return
        client, message = sent
        self.newest = number
        self._last[client, message["node"]] = message
        self._last.move_to_end((client, message["node"]))
        while len(self._last) > MOST:
            self._last.popitem(last=False)

    def since(self, client: str, number: int) -> list[dict[str, Any]]:
        """What ``client`` was told after message ``number``, the newest of each node, in order."""
        told = [message for (who, _), message in list(self._last.items()) if who == client]
        return sorted((m for m in told if m["message"] > number), key=lambda m: m["message"])


messages = Messages()


def keep_story(story: Story) -> Path:
    """Save ``story`` among the stories, with the workflow of the prompt that runs, and tell the
    page that watches; the folder it is in."""
    made = with_workflow(story, running_workflow())
    folder = keep(stories_folder(), made)
    messages.send(folder.name, len(story))
    return folder
