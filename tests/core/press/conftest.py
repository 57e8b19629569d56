"""Small stories to press."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from seedstory_core.press.settings import BookSettings, book_settings
from seedstory_core.types import Panel, Story, WorldRef

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)> &amp; ]]> --> </style>\x00\x1b'


def picture(height: int = 24, width: int = 24, seed: int = 0) -> torch.Tensor:
    """Noise, other for each seed, without white."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 200, (height, width, 3), generator=generator, dtype=torch.uint8)


@pytest.fixture()
def make() -> Callable[..., Story]:
    """Captions -> a story with a picture for each; ``blank``: panels without one."""

    def made(*captions: str, blank: tuple[int, ...] = (), closing: str | None = None) -> Story:
        panels = tuple(
            Panel(
                caption,
                caption,
                "told" if index else "opening",
                image=None if index in blank else picture(seed=index),
                uid=f"uid{index}",
            )
            for index, caption in enumerate(captions)
        )
        return Story(panels, "toy", WorldRef("w", "d"), "A run", closing=closing)

    return made


@pytest.fixture()
def small() -> Callable[..., BookSettings]:
    """Settings for small pages of few pixels, which press fast."""

    def made(template: str = "single", trim: str = "90 x 120 mm", **more: object) -> BookSettings:
        return book_settings(template, trim, **{"dpi": 40, **more})

    return made
