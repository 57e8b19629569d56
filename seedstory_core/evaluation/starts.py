"""Where judged stories begin: openings drawn from the held-out stories, or the world's own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import SeedStoryError
from ..images import read_picture
from ..picture_world.palette import PALETTE
from ..picture_world.scene import Scene
from ..world import World
from .painting import Pixels

if TYPE_CHECKING:
    from ..picture_world.stories import PanelScript

HELD_OUT, OPENINGS, WITH_GUEST = "held-out", "openings", "guest"
STARTS = (HELD_OUT, OPENINGS, WITH_GUEST)
FIRST_SEED = 1_000_000  # far from the seeds that made training's stories


@dataclass(frozen=True, eq=False)
class Start:
    """The opening of a story that is to be told and judged.

    Attributes:
        image: uint8 [H, W, 3].
        script: captions of a true story after the opening; told stories do not see them.
        scenes: what the true story shows, the opening first; empty where no true story is known.
        pictures: true renders of ``scenes``, uint8 [P + 1, 64, 64, 3].
    """

    text: str
    image: Tensor
    script: tuple[str, ...] = ()
    scenes: tuple[Scene, ...] = ()
    pictures: Pixels | None = None


def held_out_starts(count: int, panels: int, seed: int = 0) -> list[Start]:
    """``count`` openings of test stories, each with the ``panels`` panels that truly follow."""
    from ..picture_world.stories import tell

    seeds = [FIRST_SEED + seed * 10_000 + number for number in range(count)]
    return [_start(own, tell(own, panels + 1, "test")) for own in seeds]


def guest_starts(count: int, panels: int, seed: int = 0) -> list[Start]:
    """The same of test stories with the guest, who is in the opening already.

    Raises:
        SeedStoryError: stories with the guest are not that long.
    """
    from ..picture_world.guest import PANELS, guest_stories

    if panels >= PANELS:
        raise SeedStoryError(
            f"Stories with the guest have {PANELS - 1} panels after the opening, not {panels}: add "
            f"--panels {PANELS - 1}."
        )
    stories = guest_stories(count * PANELS, FIRST_SEED + seed, "test")
    return [_start(own, story[: panels + 1]) for own, story in stories]


def _start(own: int, script: Sequence[PanelScript]) -> Start:
    """A true story, drawn by its own seed, as a start."""
    from ..picture_world.render import draw_freedom, render

    rng = random.Random(own)
    indices = np.stack([render(item.scene, draw_freedom(rng)) for item in script])
    pictures = PALETTE[indices]
    return Start(
        script[0].caption,
        torch.from_numpy(pictures[0].copy()),
        tuple(item.caption for item in script[1:]),
        tuple(item.scene for item in script),
        pictures,
    )


def world_starts(world: World, count: int) -> list[Start]:
    """The world's own openings, from the first on again when there are fewer than ``count``."""
    if not world.openings:
        raise SeedStoryError(f"World {world.name!r} brings no opening; use --starts {HELD_OUT}.")
    starts = []
    for number in range(count):
        path, text = world.opening(number % len(world.openings) + 1)
        starts.append(Start(text, read_picture(path)))
    return starts


def starts_of(world: World, kind: str, count: int, panels: int, seed: int = 0) -> list[Start]:
    """Starts of one of `STARTS`."""
    if kind == OPENINGS:
        return world_starts(world, count)
    if kind == HELD_OUT:
        return held_out_starts(count, panels, seed)
    if kind == WITH_GUEST:
        return guest_starts(count, panels, seed)
    raise SeedStoryError(f"Stories start from {' or '.join(STARTS)}, got {kind!r}.")
