"""The panel that was picked in Story View, and the story that the next run starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..seedstory_core.errors import SeedStoryError
from ..seedstory_core.operations import rewind
from ..seedstory_core.types import Story

END = -1
Value = TypeVar("Value")


def first(values: Sequence[Value]) -> Value:
    """The one value of a widget, whose node takes lists; a connected list counts by its first."""
    if not values:
        raise SeedStoryError("Story View got an empty list. Connect a value, or leave it out.")
    return values[0]


def go_on(story: Story, panel: int) -> Story:
    """Up to ``panel``, so that the next is told after it; an ended story is open again."""
    return rewind(story, panel)


def re_roll(story: Story, panel: int) -> Story:
    """Up to the panel before, so that ``panel`` is told anew."""
    if panel == 0:
        raise SeedStoryError(
            f"Panel 0 of story {story.run!r} is its opening, which is given and not told. Change "
            "it in Start Story, or re-roll panel 1 or a later one."
        )
    return rewind(story, panel - 1)


def whole_story(story: Story, panel: int) -> Story:
    """All of it."""
    return story


ACTIONS: dict[str, Callable[[Story, int], Story]] = {
    "go on": go_on,
    "re-roll": re_roll,
    "whole story": whole_story,
}


@dataclass(frozen=True)
class Pick:
    """What the widgets of Story View say.

    Attributes:
        number: of the picked panel, -1 for the newest.
        action: one of `ACTIONS`.
        branch: the first digits of the picked panel's uid where it is not on the first story.
    """

    number: int
    action: str
    branch: str = ""

    def of(self, stories: Sequence[Story]) -> tuple[Story, int]:
        """The story to hand on, and the number of the picked panel.

        Raises:
            SeedStoryError: there is no such panel.
        """
        story = self._line(stories)
        panel = len(story) - 1 if self.number == END else self.number
        if not 0 <= panel < len(story):
            raise SeedStoryError(
                f"Panel {panel} was picked, but story {story.run!r} has panels 0 to "
                f"{len(story) - 1}. Pick another in the view, or set pick to -1 for the newest."
            )
        if self.number == END and self.action == "go on":
            return story, panel  # nothing is taken back: an ended story stays ended
        return ACTIONS[self.action](story, panel), panel

    def _line(self, stories: Sequence[Story]) -> Story:
        """The story that the pick is on."""
        if not stories:
            raise SeedStoryError("Story View got an empty list of stories. Connect one story.")
        wanted = self.branch.strip().lower()
        if not wanted:
            return stories[0]
        for story in stories:
            uid = story.panels[self.number].uid if self._reaches(story) else ""
            if uid.startswith(wanted):
                return story
        raise SeedStoryError(
            f"Panel {self.number} was picked on the branch {wanted!r}, which is in none of the "
            f"{len(stories)} stories connected. Connect that branch to 'stories' (Load Story "
            "loads it from disk), or pick another panel in the view."
        )

    def _reaches(self, story: Story) -> bool:
        return -1 <= self.number < len(story) and len(story) > 0
