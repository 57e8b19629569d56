"""Small steps between edge values that several nodes share."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from ..seedstory_core.context import ContextPolicy
from ..seedstory_core.errors import SeedStoryError
from ..seedstory_core.images import from_float
from ..seedstory_core.memory import Plan
from ..seedstory_core.types import ImageFeatures, Story


def one_picture(image: torch.Tensor) -> torch.Tensor:
    """An IMAGE of one picture -> uint8 [H, W, 3]; batches are refused."""
    pictures = from_float(image)
    if len(pictures) != 1:
        raise SeedStoryError(
            f"Expected one picture, got a batch of {len(pictures)}. Take one with Get Image from "
            "Batch."
        )
    return pictures[0]


def features_at(story: Story, indices: Iterable[int]) -> ImageFeatures:
    """Features [N, L, D] of some panels, in the space of the engine that told them."""
    rows = []
    space = ""
    for index in indices:
        found = [s for s in story.panels[index].features if s.startswith(f"{story.engine}.")]
        if not found:
            raise SeedStoryError(
                f"Panel {index} of story {story.run!r} has no features of {story.engine!r}, the "
                "engine it was told by. Load the whole story folder, or tell the story anew."
            )
        space = sorted(found)[0]
        rows.append(story.panels[index].features[space])
    if not rows:
        raise SeedStoryError(f"Story {story.run!r} has no told panel yet. Use Tell Panel first.")
    return ImageFeatures(torch.stack(rows), space, story.world)


def context_of(
    memory: Plan | None, context: ContextPolicy | None, stories: int = 1
) -> ContextPolicy | None:
    """What to tell with: ``context``, else the memory plan's own, else None.

    Args:
        stories: told together.

    Raises:
        SeedStoryError: the plan says that the run would not fit, or it is another run's.
    """
    if memory is None:
        return context
    memory.check(context)
    memory.check_stories(stories)
    return memory.run.context


def told(story: Story) -> tuple[int, ...]:
    """Indices of all panels but the opening."""
    return tuple(i for i, panel in enumerate(story.panels) if panel.origin != "opening")
