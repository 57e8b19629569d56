"""Pictures of told panels, painted again at any time.

The features are in the story, so no LLM is asked. Who paints is the caller's choice:
`painter.Painter`, an engine's own sampler, or a host's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from ..errors import SeedStoryError
from ..story import attach_image, check_index
from ..types import Json, Story
from .chain import noted

#: Given a story and indices -> uint8 [H, W, 3] each.
Paint = Callable[[Story, Sequence[int]], Sequence[Tensor]]


def repaint(
    story: Story, indices: Sequence[int], paint: Paint, note: Mapping[str, Json] | None = None
) -> Story:
    """``story`` with new pictures of some told panels; everything else stays the same object.

    Args:
        note: says how they were made, for the panels' provenance.

    Raises:
        SeedStoryError: no such panel, the opening (its picture is given), or a panel without
            features to paint from.
    """
    wanted = [check_paintable(story, index) for index in indices]
    pictures = paint(story, wanted)
    if len(pictures) != len(wanted):
        raise SeedStoryError(f"{len(wanted)} panels were to be painted, got {len(pictures)}.")
    for index, picture in zip(wanted, pictures, strict=True):
        story = repainted(story, index, picture, note)
    return story


def reroll_picture(
    story: Story, index: int, paint: Paint, note: Mapping[str, Json] | None = None
) -> Story:
    """`repaint` of one panel; give ``paint`` another seed than the one before."""
    return repaint(story, [index], paint, note)


def repainted(
    story: Story, index: int, picture: Tensor, note: Mapping[str, Json] | None = None
) -> Story:
    """``story`` with uint8 [H, W, 3] as the picture of panel ``index``.

    Where there was one before, how that was made goes into the panel's edits.
    """
    index = check_index(story, index)
    before = story.panels[index]
    story = attach_image(story, index, picture, note)
    if before.image is None:
        return story
    panel = noted(story.panels[index], "repaint", paint=before.provenance.get("paint"))
    return replace(story, panels=(*story.panels[:index], panel, *story.panels[index + 1 :]))


def attach_best(
    story: Story,
    index: int,
    pictures: Sequence[Tensor],
    pick: int,
    note: Mapping[str, Json] | None = None,
) -> list[Story]:
    """The story with each of ``pictures`` as that of panel ``index``, the picked one last.

    Whoever saves them one after the other keeps all: `story_store` sets a replaced picture aside.

    Args:
        pick: number of the best one, from 0.
    """
    index = check_index(story, index)
    if not 0 <= pick < len(pictures):
        raise SeedStoryError(
            f"Pictures 1 to {len(pictures)} are there to pick from, but {pick + 1} was picked."
        )
    order = [number for number in range(len(pictures)) if number != pick] + [pick]
    stories = []
    for number in order:
        how = {**(note or {}), "take": number + 1, "takes": len(pictures)}
        stories.append(repainted(story, index, pictures[number], how))
    return stories


def check_paintable(story: Story, index: int) -> int:
    """``index`` of a panel that is told and has features, from 0."""
    index = check_index(story, index)
    panel = story.panels[index]
    if panel.origin == "opening":
        raise SeedStoryError(
            f"Panel {index} of story {story.run!r} is an opening: its picture was given. Attach "
            "another picture to it, or paint told panels."
        )
    if not panel.features:
        raise SeedStoryError(
            f"Panel {index} of story {story.run!r} has no features, so it cannot be painted. Load "
            "the whole story, or re-roll its features."
        )
    return index
