"""Ways of painting compared: fewer steps, other solvers, guidance that ends early, and batches.

All paint the same panels of true held-out stories from their true features, each from the same
noise; so a difference is the way's alone, and it is told with the interval of a paired comparison.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import SeedStoryError
from ..types import ImageFeatures, PaintSettings, no_progress
from .evaluate import Judge, Stages
from .intervals import Share
from .judge import PanelVerdict, differences, shares
from .painting import PanelPainter, Pixels
from .references import paint_rows, read_features, true_pictures
from .sight import ALL_RIGHT, PICTURE_ROWS
from .starts import held_out_starts

FORMAT, VERSION = "seedstory-ways", 1
BATCHES = (1, 2, 4, 8)
TIMED = 16  # panels that each batch size is timed with
ROWS = (*PICTURE_ROWS, ALL_RIGHT)


@dataclass(frozen=True)
class Way:
    """One way to paint.

    Attributes:
        steps: as a share of the world's own.
        guided: share of the steps that are guided.
    """

    solver: str = "euler"
    steps: float = 1.0
    guided: float = 1.0

    def settings(self, own: PaintSettings) -> PaintSettings:
        """``own`` settings of a world, painted this way."""
        steps = max(1, round(own.steps * self.steps))
        return replace(own, steps=steps, solver=self.solver, guidance_until=self.guided)


OWN = Way()
WAYS: tuple[Way, ...] = (
    OWN,
    *(Way(guided=share) for share in (0.75, 0.5, 0.25)),
    *(
        Way(solver, share)
        for share in (2 / 3, 1 / 2, 1 / 3)
        for solver in ("euler", "dpmpp_2m", "uni_pc")
    ),
    Way("dpmpp_2m", 1 / 2, 0.5),
)


def measure_ways(
    judge: Judge,
    stories: int = 20,
    panels: int = 25,
    seed: int = 0,
    stages: Stages = lambda name: no_progress,
    ways: Sequence[Way] = WAYS,
) -> dict[str, Any]:
    """Every way's figures, and the time of a panel by batch size, as plain JSON.

    Args:
        stories, panels: true held-out stories, and panels of each after its opening.

    Raises:
        SeedStoryError: the world paints no squares, or nothing is asked for.
    """
    if not (1 <= stories <= 10_000 and 1 <= panels <= 10_000):
        raise SeedStoryError(f"Judge 1 to 10000 stories and panels, got {stories} and {panels}.")
    starts = held_out_starts(stories, panels, seed)
    captions = [[start.text, *start.script] for start in starts]
    truth = true_pictures(starts)
    features, lengths = read_features(judge.engine, truth), [len(story) for story in truth]
    own: list[PanelVerdict] = []
    columns = []
    for way in ways:
        settings = way.settings(judge.painter.settings)
        painter = replace(judge.painter, settings=settings)
        begun = time.process_time()
        pictures = paint_rows(painter, features, lengths, seed, stages(title_of(settings)))
        spent = time.process_time() - begun
        verdicts = judge.verdicts(captions, pictures)
        own = own or verdicts
        columns.append(_column(settings, verdicts, own, spent / sum(lengths)))
    return {
        "format": FORMAT,
        "version": VERSION,
        "world": {"name": judge.world.name, "digest": judge.world.digest},
        "stories": stories,
        "panels": panels,
        "seed": seed,
        "ways": columns,
        "batches": batch_times(judge.painter, replace(features, tensor=features.tensor[:TIMED])),
    }


def _column(
    settings: PaintSettings, verdicts: list[PanelVerdict], own: list[PanelVerdict], spent: float
) -> dict[str, Any]:
    found: Mapping[str, Share] = shares(verdicts, rows=ROWS)
    apart = differences(verdicts, own, [ALL_RIGHT])[ALL_RIGHT]
    return {
        "name": title_of(settings),
        "solver": settings.solver,
        "steps": settings.steps,
        "guidance": settings.guidance,
        "guidance_until": settings.guidance_until,
        "seconds_per_panel": round(spent, 4),
        "rows": {row: share.to_json() for row, share in found.items()},
        "minus_own": apart.to_json(),
    }


def title_of(settings: PaintSettings) -> str:
    """``dpmpp_2m, 6 steps, guided for 50%``: how a way is called in tables."""
    name = f"{settings.solver}, {settings.steps} steps"
    if settings.guidance_until < 1:
        name += f", guided for {settings.guidance_until:.0%}"
    return name


def batch_times(painter: PanelPainter, features: ImageFeatures) -> list[dict[str, Any]]:
    """Processor time of a panel when several are painted at once, and whether a pixel changes."""
    seeds = list(range(len(features)))
    alone: Pixels | None = None
    rows = []
    for at_once in BATCHES:
        begun = time.process_time()
        pictures = replace(painter, at_once=at_once).paint(features, seeds)
        spent = (time.process_time() - begun) / len(seeds)
        alone = pictures if alone is None else alone
        other = int(np.any(pictures != alone, axis=-1).sum())
        rows.append(
            {"at_once": at_once, "seconds_per_panel": round(spent, 4), "other_pixels": other}
        )
    return rows


def ways_markdown(result: Mapping[str, Any]) -> str:
    """The tables of one result of `measure_ways`."""
    world, ways, batches = result["world"], result["ways"], result["batches"]
    first = batches[0]["seconds_per_panel"]
    lines = [
        f"# Ways of painting world {world['name']}",
        "",
        f"{result['stories']} true held-out stories of {result['panels']} panels, true features; "
        f"seed {result['seed']}; world {world['digest'][:12]}. Percent, with 95 % intervals "
        "(bootstrap over stories) in brackets; processor time.",
        "",
        "| way | UNet calls a panel | ms a panel | everything right | minus the first |",
        "|---|---|---|---|---|",
    ]
    for way in ways:
        right, apart = way["rows"][ALL_RIGHT], way["minus_own"]
        cells = [way["name"], f"{_calls(way):g}", f"{1000 * way['seconds_per_panel']:.0f}"]
        lines.append(f"| {' | '.join([*cells, _cell(right), _cell(apart)])} |")
    lines += ["", "| panels at once | ms a panel | times faster | pixels changed |"]
    lines.append("|---|---|---|---|")
    for batch in batches:
        spent = batch["seconds_per_panel"]
        cells = [batch["at_once"], f"{1000 * spent:.0f}", f"{first / spent:.2f}"]
        lines.append(f"| {' | '.join(map(str, [*cells, batch['other_pixels']]))} |")
    return "\n".join(lines) + "\n"


def _calls(way: Mapping[str, Any]) -> float:
    """How often the UNet sees a panel, with what guides away counted too."""
    guided = sum(step / way["steps"] < way["guidance_until"] for step in range(way["steps"]))
    return way["steps"] + (guided if way["guidance"] != 1 else 0)


def _cell(found: Mapping[str, float]) -> str:
    low, high = 100 * found["low"], 100 * found["high"]
    return f"{100 * found['value']:.1f} ({low:.1f} to {high:.1f})"
