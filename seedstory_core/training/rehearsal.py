"""The base world tells and paints its own stories, which an adaptation rehearses.

So it needs none of the data that the world was made of: what it knows is what it tells.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..engine import Host, open_engine
from ..engines.seed_story.engine import SeedStoryEngine
from ..errors import SeedStoryError
from ..files import atomic_write_bytes, sweep_parts
from ..hosts import LocalPart, local_host
from ..images import encode_png, read_picture
from ..painter import open_painter
from ..parts import Part, PartSpec
from ..sampling import Greedy, with_temperature
from ..sampling import restore as restore_sampling
from ..story_reader import MANIFEST, load_story
from ..story_store import save_story
from ..types import Opening, PaintSettings, Story
from ..types import Progress as StepProgress
from ..world import World
from .data import Stories, open_stories
from .stage import Progress

PANELS = 16  # of a rehearsed story, its opening included
LIST = "train.jsonl"
#: Where a world's own sampling takes the likeliest words, they are drawn so: else each opening
#: would tell one story only.
TEMPERATURE, TOP_P = 0.8, 0.95


@dataclass(frozen=True)
class Rehearsal:
    """How the base world rehearses.

    Attributes:
        folder: gets the stories, in the layout of `data.open_stories`.
        panels: to be told, openings included.
        dtype: to compute in. ``mapped``: weights stay in their files (CPU only).
        base: SDXL base, for worlds without a painter of their own.
    """

    world: World
    folder: Path
    panels: int
    seed: int
    device: torch.device
    progress: Progress
    dtype: torch.dtype = torch.float32
    mapped: bool = False
    base: Path | None = None

    def stories(self) -> Stories:
        """The rehearsed stories; told panels and painted pictures are kept at once.

        All is told first and painted then, with the LLM gone. The same values, the same panels.

        Raises:
            SeedStoryError: the world has no opening, or needs ``base`` to paint with.
        """
        if not (self.folder / LIST).is_file():
            if not self.world.openings:
                raise SeedStoryError(
                    f"World {self.world.name!r} brings no openings to rehearse from. Give "
                    "--replay-data with stories of it, or --replay 0 (it may then forget its "
                    "other characters)."
                )
            sweep_parts(self.folder)
            host = _Shared(local_host(self.device, self.dtype, self.mapped))
            stories = [self._told(host, n) for n in range(math.ceil(self.panels / PANELS))]
            for name, part in host.parts.items():
                if isinstance(part, LocalPart) and name != "detokenizer":
                    part.release()
            lines = self._painted(_engine(self.world, host), stories)
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            atomic_write_bytes(self.folder / LIST, text.encode())
        return open_stories(self.folder, "train", own=True)

    def _told(self, host: Host, number: int) -> Story:
        """Story ``number``; each opening begins several stories of other seeds.

        It is told by an engine that has read nothing yet and kept when it is whole: so a stopped
        rehearsal goes on to the very same bits, rounding in a kept cache included.
        """
        place = self.folder / "told" / f"{number:04d}"
        if (place / MANIFEST).is_file():
            return load_story(place)
        engine = _engine(self.world, host)
        picture, text = self.world.opening(number % len(self.world.openings) + 1)
        story = engine.start(Opening(text, read_picture(picture), run=f"rehearsal {number}"))
        sampling = restore_sampling(self.world.defaults.get("sampling", {}))
        if isinstance(sampling.picker, Greedy):
            sampling = with_temperature(sampling, TEMPERATURE, TOP_P)
        before = number * PANELS
        wanted = max(2, min(PANELS, self.panels - before))
        while len(story) < wanted and not story.ended:
            self.progress(min(self.panels, before + len(story)), self.panels, "told")
            seed = 1_000_003 * self.seed + PANELS * number + len(story)
            story = engine.tell(story, sampling=sampling, seed=seed)
        save_story(place, story)
        return story

    def _painting(self, panels: int, most: int) -> StepProgress:
        """Reports panels whenever a step of painting them is reported."""

        def report(done: int, total: int, note: str = "") -> None:
            self.progress(panels, most, "painted")

        return report

    def _painted(self, engine: SeedStoryEngine, stories: list[Story]) -> list[dict[str, Any]]:
        """Paint what is not painted yet; the stories' lines in the list."""
        patch = engine.unet_patch()
        painter = open_painter(self.world, self.base, self.device, self.dtype, patch)
        steps, guidance = paint_defaults(self.world)
        total, done, lines = sum(map(len, stories)), 0, []
        for number, story in enumerate(stories):
            images = [f"images/{number:04d}/{index:02d}.png" for index in range(len(story))]
            done += len(images)
            if not all((self.folder / image).is_file() for image in images):
                # A story is painted whole: the same panels at once, the same last bits.
                settings = PaintSettings(steps, guidance, seed=1000 * number, same_noise=False)
                told = [index for index, panel in enumerate(story.panels) if panel.image is None]
                painted = painter.paint(
                    engine,
                    story,
                    told,
                    settings,
                    self._painting(done, total),
                    at_once=painter.fitting(settings),
                )
                found = dict(zip(told, painted, strict=True))
                for index, panel in enumerate(story.panels):
                    picture = found[index] if panel.image is None else panel.image
                    atomic_write_bytes(self.folder / images[index], encode_png(picture))
            captions = [panel.caption for panel in story.panels]
            lines.append({"id": f"told_{number:04d}", "images": images, "captions": captions})
        return lines


class _Shared:
    """A host that gives the same parts to all who ask."""

    def __init__(self, host: Host) -> None:
        self._host, self.parts = host, dict[str, Part[Any]]()

    def __call__(self, spec: PartSpec[Any]) -> Part[Any]:
        if spec.name not in self.parts:
            self.parts[spec.name] = self._host(spec)
        return self.parts[spec.name]


def _engine(world: World, host: Host) -> SeedStoryEngine:
    engine = open_engine(world, host)
    assert isinstance(engine, SeedStoryEngine)
    return engine


def paint_defaults(world: World) -> tuple[int, float]:
    """Steps and guidance that the world is painted with where nobody says otherwise."""
    wanted, default = world.defaults.get("paint", {}), PaintSettings()
    return int(wanted.get("steps", default.steps)), float(wanted.get("guidance", default.guidance))
