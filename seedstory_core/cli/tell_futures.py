"""``tell --futures N``: several stories from one beginning, told together, each in its own folder.

``DIR/future-1``, ``DIR/future-2`` and so on are such folders as ``tell --out`` writes: every panel
is kept the moment it is finished, and the same command goes on with all of them. The first future
is the story that ``tell`` alone tells.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..engine import Engine
from ..errors import SeedStoryError
from ..futures import MOST, check_apart, future_seed, tell_futures
from ..sampling import Sampling
from ..story_reader import MANIFEST
from ..types import Opening, PaintSettings, Story
from .progress import Bar
from .telling import Run

#: Makes the run of a folder with a seed, and with an engine if there is one already.
MakeRun = Callable[[Path, int, Engine | None], Run]


def add_options(add: Callable[..., Any]) -> None:
    """``--futures`` and ``--fork-at``."""
    text = "tell N stories together that begin alike, in DIR/future-1, DIR/future-2..."
    add("--futures", type=int, metavar="N", help=text)
    add("--fork-at", type=int, metavar="K", help="panels that all futures share (none)")


def check_options(
    args: argparse.Namespace, panels: int, captions: Sequence[str], sampling: Sampling
) -> None:
    """Refuse futures that cannot be, or could not differ.

    Raises:
        SeedStoryError: see there.
    """
    if args.futures is None:
        if args.fork_at is not None:
            raise SeedStoryError("--fork-at says where futures part: add --futures N.")
        return
    if not 1 <= args.futures <= MOST:
        raise SeedStoryError(f"--futures is 1 to {MOST}, got {args.futures}.")
    if args.reference:
        raise SeedStoryError("--reference tells one story at a time: leave --futures out.")
    shared = max(args.fork_at or 0, len(captions))
    if not 0 <= (args.fork_at or 0) <= panels:
        raise SeedStoryError(f"--fork-at is 0 to {panels} (the panels), got {args.fork_at}.")
    if args.futures > 1 and shared >= panels > 0:
        raise SeedStoryError(
            f"All {panels} panels would be the same in every future: tell more with --panels, or "
            "share fewer (--fork-at, --captions)."
        )
    check_apart(args.futures, sampling, None)


class Futures:
    """Several runs that begin alike; stands where the command has one `Run`.

    Args:
        folder: holds a folder for each future.
        seed: of panel 0 of the first future.
        fork: how many panels all futures share.
    """

    def __init__(self, folder: Path, count: int, fork: int, seed: int, make: MakeRun) -> None:
        if (folder / MANIFEST).exists():
            raise SeedStoryError(
                f"{folder} holds a story of its own. Give --out another folder for the futures."
            )
        self.folder, self._fork = folder, fork
        first = make(folder / name_of(0), seed, None)
        others = [
            make(folder / name_of(number), future_seed(seed, number), first.engine)
            for number in range(1, count)
        ]
        self.runs = [first, *others]
        for run in others:
            run.shared = (fork, seed)

    @property
    def story(self) -> Story:
        """The future that has come least far."""
        return min((run.story for run in self.runs), key=len)

    @property
    def blank(self) -> int:
        """Panels without a picture, in all futures."""
        return sum(run.blank for run in self.runs)

    def begin(self, opening: Opening, captions: Sequence[str]) -> None:
        """Start all stories, or take up what their folders hold of them."""
        first = self.runs[0]
        fresh = first.engine.start(opening)
        first.release()
        for run in self.runs:
            run.take_up(replace(fresh, run=f"{opening.run}-{run.folder.name}"), captions)

    def tell(self, panels: int, captions: Sequence[str], bar: Bar) -> None:
        """Tell up to ``panels`` panels in each future; each panel is kept at once."""
        first, *others = self.runs
        if self._fork:
            first.tell(min(panels, self._fork), captions, bar)
            for run in others:
                if len(run.story) <= self._fork:
                    shared = first.story.panels[: self._fork + 1]
                    run.keep(replace(run.story, panels=shared, closing=first.story.closing))
        stories = [run.story for run in self.runs]

        def on_panel(number: int, story: Story) -> None:
            self.runs[number].keep(story)
            said = story.closing if story.closing is not None else story.panels[-1].caption
            bar.finish(f"{self.runs[number].folder.name}: {said}")

        tell_futures(
            first.engine,
            stories,
            [captions[len(story) - 1 :] for story in stories],
            first.sampling,
            first.context,
            [run.seed_of(len(run.story)) for run in self.runs],
            bar,
            panels=[max(0, panels + 1 - len(story)) for story in stories],
            on_panel=on_panel,
        )
        bar.clear()
        first.release()

    def paint(self, settings: PaintSettings, base: Path | None, bar: Bar, at_once: int = 1) -> None:
        """Paint what has no picture yet, one future after the other."""
        for run in self.runs:
            run.paint(settings, base, bar, at_once)

    def summary(self, panels: int) -> str:
        """What is kept so far and how to go on; empty before anything is."""
        begun = [run for run in self.runs if run.story.panels]
        if not begun:
            return ""
        told = sum(len(run.story) - 1 for run in begun)
        painted = told - sum(run.blank for run in begun)
        return (
            f"{told} of {panels * len(self.runs)} panels are told and {painted} painted; they are "
            f"kept in {self.folder}. The same command goes on from there."
        )

    def ending(self, page: str) -> str:
        """The last lines of a run that came to its end."""
        return "\n".join(f"{run.folder.name}: {run.ending(run.folder / page)}" for run in self.runs)


def name_of(number: int) -> str:
    """The folder of future ``number``, from 0."""
    return f"future-{number + 1}"
