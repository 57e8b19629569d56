"""Tells and paints the stories to be judged; every finished story is kept, so runs can go on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..context import ContextPolicy
from ..engine import Engine
from ..errors import SeedStoryError
from ..files import atomic_write_bytes
from ..sampling import Sampling, describe
from ..types import ImageFeatures, Opening, Progress, Story, no_progress
from .painting import PanelPainter, Pixels
from .starts import Start

TOLD, SCRIPT = "told", "script"
#: ``told``: captions and features by the model; ``script``: captions of true held-out stories are
#: given, features by the model.
MODES = (TOLD, SCRIPT)
NOISE = 1_000_003  # apart: noise seeds of one story and the next


@dataclass(frozen=True)
class Plan:
    """How stories are told in one run.

    Attributes:
        panels: after the opening.
        seed: of the first story; stories count on in steps that keep their panels' seeds apart.
    """

    mode: str
    context: ContextPolicy
    sampling: Sampling
    panels: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in MODES or self.panels < 1:
            raise SeedStoryError(
                f"A run is {' or '.join(MODES)} and has at least one panel, got {self.mode!r} and "
                f"{self.panels}."
            )

    def told_seed(self, story: int, panel: int) -> int:
        """The seed that tells a panel."""
        return (self.seed + story) * NOISE + panel

    def to_json(self) -> dict[str, Any]:
        return {
            "mode": self.mode,
            "context": describe(self.context),
            "sampling": describe(self.sampling),
            "panels": self.panels,
            "seed": self.seed,
        }


@dataclass(frozen=True, eq=False)
class ToldStory:
    """A finished story of a run, the opening first.

    Attributes:
        features: [P + 1, L, D] in ``space``.
        pictures: uint8 [P + 1, 64, 64, 3], the opening's included; None while it is not painted.
        end: why it has fewer panels than planned: the model's closing words, or what stopped it.
    """

    number: int
    captions: tuple[str, ...]
    features: Tensor
    space: str
    pictures: Pixels | None = None
    end: str = ""


def tell_story(
    engine: Engine, start: Start, number: int, plan: Plan, progress: Progress = no_progress
) -> ToldStory:
    """Tell one story by a plan; one whose context outgrows the model ends there."""
    story = engine.start(Opening(start.text, start.image, run=f"story-{number:03d}"))
    end = ""
    while len(story) <= plan.panels and not story.ended:
        panel = len(story)
        if plan.mode == SCRIPT and panel > len(start.script):
            end = "the script ends here"
            break
        caption = start.script[panel - 1] if plan.mode == SCRIPT else None
        progress(panel - 1, plan.panels, story.panels[-1].caption)
        try:
            story = engine.tell(
                story,
                caption,
                plan.sampling,
                plan.context,
                seed=plan.told_seed(number, panel),
                progress=_relay(progress, panel - 1, plan.panels),
            )
        except SeedStoryError as error:  # no room for one panel more
            end = str(error)
            break
    return _told(story, number, f"closing: {story.closing}" if story.ended else end)


def _relay(progress: Progress, panel: int, panels: int) -> Progress:
    """Hands tokens on, so that a run can be stopped between two of them."""

    def report(done: int, total: int, note: str = "") -> None:
        progress(panel, panels, note)

    return report


def _told(story: Story, number: int, end: str) -> ToldStory:
    (space,) = story.panels[0].features
    rows = torch.stack([panel.features[space] for panel in story.panels]).float().cpu()
    return ToldStory(number, tuple(p.caption for p in story.panels), rows, space, end=end)


def run_plan(
    engine: Engine,
    painter: PanelPainter,
    starts: Sequence[Start],
    plan: Plan,
    folder: Path | None = None,
    progress: Progress = no_progress,
) -> list[ToldStory]:
    """Tell and paint a story from each start.

    Args:
        folder: keeps finished stories; those of the same world, plan and start are taken up.

    Raises:
        SeedStoryError: a picture cannot be painted, or the disk is full.
    """
    stories, total = [], len(starts) * plan.panels
    for number, start in enumerate(starts):
        stamp = _stamp(engine, painter, start, plan)
        file = None if folder is None else folder / f"{number:03d}.safetensors"
        known = None if file is None else _load(file, stamp)
        if known is None:
            known = tell_story(engine, start, number, plan, _share(progress, number, total, plan))
            known = paint_story(painter, known, plan)
            if file is not None:
                _save(file, known, stamp)
        stories.append(known)
        progress((number + 1) * plan.panels, total, known.captions[-1])
    return stories


def _share(progress: Progress, number: int, panels: int, plan: Plan) -> Progress:
    def report(done: int, total: int, note: str = "") -> None:
        progress(number * plan.panels + done, panels, note)

    return report


def paint_story(painter: PanelPainter, story: ToldStory, plan: Plan) -> ToldStory:
    """``story`` with pictures; every panel has a noise of its own."""
    seeds = [plan.told_seed(story.number, panel) for panel in range(len(story.captions))]
    features = ImageFeatures(story.features, story.space, painter.engine.world)
    return replace(story, pictures=painter.paint(features, seeds))


def _stamp(engine: Engine, painter: PanelPainter, start: Start, plan: Plan) -> str:
    """What a kept story must have been made by to be taken up."""
    known = {
        "world": engine.world.digest,
        "painter": painter.identity,
        "plan": plan.to_json(),
        "text": start.text,
        "script": start.script if plan.mode == SCRIPT else (),
    }
    return json.dumps(known, sort_keys=True)


def _save(file: Path, story: ToldStory, stamp: str) -> None:
    assert story.pictures is not None
    tensors = {
        "features": story.features.contiguous(),
        "pictures": torch.from_numpy(story.pictures),
    }
    notes = {
        "stamp": stamp,
        "captions": json.dumps(story.captions),
        "space": story.space,
        "end": story.end,
        "number": str(story.number),
    }
    atomic_write_bytes(file, save(tensors, notes))


def _load(file: Path, stamp: str) -> ToldStory | None:
    """A kept story; None if there is none, or one of another making."""
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as opened:
            notes = opened.metadata() or {}
            if notes.get("stamp") != stamp:
                return None
            return ToldStory(
                int(notes["number"]),
                tuple(json.loads(notes["captions"])),
                opened.get_tensor("features"),
                notes["space"],
                opened.get_tensor("pictures").numpy(),
                notes["end"],
            )
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise SeedStoryError(f"The kept story {file} is damaged ({error}); remove it.") from error
