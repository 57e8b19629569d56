"""Several futures of one story: told together in one batch against one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..context import Window
from ..types import Story
from .invariants import Finding, compare
from .meter import clock_for
from .modes import WINDOW
from .stage import Stage

STORIES, PANELS, ROUNDS = 8, 4, 2
TOGETHER, ALONE = "together", "one by one"


def time_futures(stage: Stage) -> tuple[dict[str, Any], list[Finding]]:
    """Both ways in turn, the better of `ROUNDS`. Words are drawn, so that all stories differ.

    Returns: forwards and ms a panel of one story, and the ``ratio`` of the times; and whether
        both ways told the same.
    """
    panels = min(PANELS, len(stage.captions))
    ways: Mapping[str, Callable[[Stage, int], tuple[list[Story], int]]]
    ways = {TOGETHER: _together, ALONE: _alone}
    clock = clock_for(stage.device)
    seconds = dict.fromkeys(ways, float("inf"))
    forwards: dict[str, int] = {}
    told: dict[str, list[Story]] = {}
    for _ in range(ROUNDS):
        for name, tell in ways.items():
            begin = clock.mark()
            told[name], forwards[name] = tell(stage, panels)
            end = clock.mark()
            clock.settle()
            seconds[name] = min(seconds[name], clock.seconds(begin, end))
    count = STORIES * panels
    figures = {
        "stories": STORIES,
        "panels": panels,
        "forwards": {name: number / count for name, number in forwards.items()},
        "ms": {name: 1000 * value / count for name, value in seconds.items()},
        "ratio": seconds[ALONE] / seconds[TOGETHER],
    }
    dtype = str(stage.weights.dtype).removeprefix("torch.")
    pairs = [[panel for story in told[name] for panel in story.panels[1:]] for name in ways]
    return figures, compare(f"futures together = one by one ({dtype})", *pairs)


def _together(stage: Stage, panels: int) -> tuple[list[Story], int]:
    """The stories and the number of forwards."""
    engine, counted = stage.engine(), _Count()
    engine.reader.on_forward = counted
    stories = engine.tell_futures(
        [stage.opening] * STORIES,
        sampling=stage.drawn(),
        context=Window(WINDOW),
        seeds=_seeds(),
        panels=panels,
    )
    return stories, counted.forwards


def _alone(stage: Stage, panels: int) -> tuple[list[Story], int]:
    """The same, by one engine that keeps what it can."""
    engine, counted = stage.engine(), _Count()
    engine.reader.on_forward = counted
    stories = []
    for seed in _seeds():
        story = stage.opening
        for panel in range(panels):
            story = engine.tell(story, None, stage.drawn(), Window(WINDOW), seed=seed + panel)
        stories.append(story)
    return stories, counted.forwards


def _seeds() -> Sequence[int]:
    """Of each story's first panel, far enough apart for the panels after it."""
    return [1000 * number for number in range(STORIES)]


class _Count:
    """Counts forwards."""

    def __init__(self) -> None:
        self.forwards = 0

    def __call__(self, rows: int) -> None:
        self.forwards += 1
