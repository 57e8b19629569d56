"""Compares a world with damaged copies of itself: the measures must rank the good one first."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..types import no_progress
from .damage import damaged, damages_of
from .evaluate import GREEDY, Judge, Request, Stages, sampling_of
from .intervals import difference_of, share_of
from .judge import PANEL_RIGHT, PanelVerdict
from .runs import TOLD, Plan
from .starts import starts_of


def rank_damages(
    judge: Judge,
    request: Request,
    stages: Stages = lambda name: no_progress,
    names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The share of panels with picture and caption right: each damaged world's, and what it lost.

    The stories are told greedily from the same starts. A panel that the good world tells and the
    damaged one does not counts as wrong.
    """
    starts = starts_of(judge.world, request.starts, request.stories, request.panels, request.seed)
    sampling = sampling_of(judge.world, GREEDY)
    plan = Plan(TOLD, request.policies[0], sampling, request.panels, request.seed)
    good = judge.judge_told(judge.run(plan, starts, "good", stages("good")))
    found = {}
    for name in damages_of(judge.world) if names is None else names:
        with tempfile.TemporaryDirectory() as folder:
            world = damaged(judge.world, name, Path(folder, judge.world.name), request.seed)
            bad = Judge(world, judge.probes, None, judge.device, judge.dtype)
            told = bad.run(plan, starts, name, stages(name.replace("_", " ")))
            found[name] = compare(good, bad.judge_told(told))
    return found


def compare(good: Sequence[PanelVerdict], bad: Sequence[PanelVerdict]) -> dict[str, Any]:
    """Share of the bad world's panels that are right, and how much better the good world is."""
    known = {(panel.story, panel.panel): panel.rows[PANEL_RIGHT] for panel in bad}
    ours = [panel.rows[PANEL_RIGHT] for panel in good]
    theirs = [known.get((panel.story, panel.panel), False) for panel in good]
    stories = [panel.story for panel in good]
    return {
        "share": share_of(theirs, stories).to_json(),
        "good": share_of(ours, stories).to_json(),
        "good_minus_damaged": difference_of(ours, theirs, stories).to_json(),
    }
