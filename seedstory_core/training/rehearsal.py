"""The base world tells and paints its own stories, which an adaptation rehearses.

So it needs none of the data that the world was made of: what it knows is what it tells.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch

from ..engine import open_engine
from ..engines.seed_story.engine import SeedStoryEngine
from ..errors import SeedStoryError
from ..files import atomic_write_bytes, sweep_parts
from ..hosts import LocalPart, local_host
from ..images import encode_png, read_picture
from ..painter import open_painter
from ..types import Opening, PaintSettings, Story
from ..world import World
from .data import Stories, open_stories
from .stage import Progress

PANELS = 10  # of a rehearsed story, its opening included
LIST = "train.jsonl"


def rehearse(
    world: World,
    folder: Path,
    panels: int,
    seed: int,
    device: torch.device,
    progress: Progress,
    base: Path | None = None,
) -> Stories:
    """So many panels of ``world`` from its openings, in ``folder``; painted ones are kept.

    All is told first and painted then, with the LLM gone. The same arguments give the same panels.

    Raises:
        SeedStoryError: the world has no opening of its own, or needs ``base`` to paint with.
    """
    if (folder / LIST).is_file():
        return open_stories(folder, "train")
    if not world.openings:
        raise SeedStoryError(
            f"World {world.name!r} brings no openings to rehearse from. Give --replay-data with "
            "stories of it, or --replay 0 (it may then forget its other characters)."
        )
    sweep_parts(folder)
    engine = open_engine(world, local_host(device, torch.float32))
    assert isinstance(engine, SeedStoryEngine)
    stories = [_told(engine, world, number, panels, seed, progress) for number in _numbers(panels)]
    for part in engine.parts.values():
        if isinstance(part, LocalPart) and part.spec.name != "detokenizer":
            part.release()
    lines = _painted(engine, world, stories, folder, device, progress, base)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    atomic_write_bytes(folder / LIST, text.encode())
    return open_stories(folder, "train")


def _numbers(panels: int) -> range:
    return range(math.ceil(panels / PANELS))


def _told(
    engine: SeedStoryEngine, world: World, number: int, panels: int, seed: int, progress: Progress
) -> Story:
    """Story ``number``; each opening begins several stories of other seeds."""
    picture, text = world.opening(number % len(world.openings) + 1)
    story = engine.start(Opening(text, read_picture(picture), run=f"rehearsal {number}"))
    wanted = max(2, min(PANELS, panels - number * PANELS))
    while len(story) < wanted and not story.ended:
        made = min(panels, number * PANELS + len(story))
        progress(made, panels, "told")
        story = engine.tell(story, seed=1_000_003 * seed + 101 * number + len(story))
    return story


def _painted(
    engine: SeedStoryEngine,
    world: World,
    stories: list[Story],
    folder: Path,
    device: torch.device,
    progress: Progress,
    base: Path | None,
) -> list[dict[str, object]]:
    painter = open_painter(world, base, device, torch.float32, engine.unet_patch())
    wanted, default = world.defaults.get("paint", {}), PaintSettings()
    total, done, lines = sum(map(len, stories)), 0, []
    for number, story in enumerate(stories):
        images = []
        for index, panel in enumerate(story.panels):
            images.append(f"images/{number:04d}/{index:02d}.png")
            done += 1
            if (folder / images[-1]).is_file():
                continue
            progress(done, total, "painted")
            picture = panel.image
            if picture is None:
                settings = PaintSettings(
                    int(wanted.get("steps", default.steps)),
                    float(wanted.get("guidance", default.guidance)),
                    seed=1000 * number + index,
                )
                (picture,) = painter.paint(engine, story, [index], settings)
            atomic_write_bytes(folder / images[-1], encode_png(picture))
        captions = [panel.caption for panel in story.panels]
        lines.append({"id": f"rehearsal_{number:04d}", "images": images, "captions": captions})
    return lines
