"""Short ways to tell stories in tests, and to compare them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seedstory_core.engine import Engine
from seedstory_core.engines.seed_story.features import SPACE
from seedstory_core.types import Opening, Story

TEXT = "George found a red ball in the park."


def picture(seed: int = 0, size: tuple[int, int] = (40, 30)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (*size, 3), dtype=torch.uint8, generator=generator)


def begun(engine: Engine, seed: int = 0, text: str = TEXT) -> Story:
    return engine.start(Opening(text, picture(seed)))


def told(engine: Engine, story: Story, panels: int, **how: Any) -> Story:
    for _ in range(panels):
        story = engine.tell(story, seed=len(story), **how)
    return story


def features(story: Story) -> Tensor:
    return torch.stack([panel.features[SPACE] for panel in story.panels])


def told_ids(story: Story) -> tuple[object, ...]:
    return (story.closing, *(panel.token_ids for panel in story.panels))


def assert_same_story(got: Story, want: Story) -> None:
    """Ids exact, features within 1e-4, as "same seed, same story" is defined."""
    assert [p.token_ids for p in got.panels] == [p.token_ids for p in want.panels]
    assert [p.text for p in got.panels] == [p.text for p in want.panels]
    assert got.closing == want.closing
    torch.testing.assert_close(features(got), features(want), atol=1e-4, rtol=1e-4)
