"""Pictures of the guest, as somebody would bring them who has drawn a new friend for this world."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import SeedStoryError
from ..files import atomic_folder
from .dataset import save_picture, story_seed_of
from .render import draw_freedom, render
from .scene import CAST, GUEST
from .stories import PanelScript, tell

PANELS = 10  # of a story
MOST = 100_000
#: Of a story's panels at least so many show the guest.
SHOWN = 0.6


def guest_stories(
    panels: int, seed: int = 0, split: str = "train"
) -> Iterator[tuple[int, tuple[PanelScript, ...]]]:
    """Seeds and stories of ten panels in which the guest plays a part, ``panels`` in all."""
    index = 0
    while panels > 0:
        story_seed = story_seed_of(seed, index)
        index += 1
        story = tell(story_seed, PANELS, split, (GUEST, *CAST))
        shown = [any(actor.name == GUEST for actor in script.scene.actors) for script in story]
        if shown[0] and sum(shown) >= SHOWN * PANELS:
            yield story_seed, story[:panels]
            panels -= PANELS


def write_guest(
    folder: Path,
    panels: int,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
    split: str = "train",
) -> int:
    """Write a plain folder: ``<story>/<nn>.png`` (64 px) and the caption in ``<nn>.txt`` beside it.

    The same arguments write the same files.

    Returns: how many pictures show the guest.

    Raises:
        SeedStoryError: the folder is not empty, or the number is not sensible.
    """
    if not 2 <= panels <= MOST:
        raise SeedStoryError(f"Expected 2 to {MOST} panels, got {panels}.")
    if folder.exists() and any(folder.iterdir()):
        raise SeedStoryError(f"{folder} is not empty. Choose another folder.")
    done = seen = 0
    with atomic_folder(folder) as making:
        for number, (story_seed, story) in enumerate(guest_stories(panels, seed, split)):
            rng = random.Random(f"guest/{split}/{story_seed}")
            place = making / f"{number:03d}"
            place.mkdir(parents=True)
            for index, script in enumerate(story):
                save_picture(place / f"{index:02d}.png", render(script.scene, draw_freedom(rng)))
                text = f"{script.caption}\n".encode()
                (place / f"{index:02d}.txt").write_bytes(text)
                done += 1
                seen += any(actor.name == GUEST for actor in script.scene.actors)
                if progress is not None:
                    progress(done, panels, place.name)
    return seen
