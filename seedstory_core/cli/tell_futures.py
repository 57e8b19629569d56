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

from ..engine import Engine
from ..errors import SeedStoryError
from ..futures import MOST, check_apart, future_seed, tell_futures
from ..sampling import Sampling
from ..story_reader import MANIFEST
from ..types import Opening, PaintSettings, Story
from .progress import Bar
from .telling import Run, say_unknown

#: Makes the run of a folder with a seed, and with an engine if there is one already.
MakeRun = Callable[[Path, int, Engine | None], Run]


def check_options(args: argparse.Namespace, panels: int, captions: int, sampling: Sampling) -> None:
    """Refuse futures that cannot be, or could not differ.

    Args:
        captions: how many are given.

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
    shared = max(args.fork_at or 0, captions)
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
        args: the command's; ``--out`` holds a folder for each future.
    """

    def __init__(self, args: argparse.Namespace, make: MakeRun) -> None:
        self.folder, self._fork = args.out, args.fork_at or 0
        if (self.folder / MANIFEST).exists():
            raise SeedStoryError(
                f"{self.folder} holds a story of its own. Give --out another folder for futures."
            )
        first = make(self.folder / name_of(0), args.seed, None)
        self.runs = [first]
        for number in range(1, args.futures):
            own = future_seed(args.seed, number)
            run = make(self.folder / name_of(number), own, first.engine)
            run.shared = (self._fork, args.seed)
            self.runs.append(run)

    @property
    def blank(self) -> int:
        """Panels without a picture, in all futures."""
        return sum(run.blank for run in self.runs)

    def missing(self, panels: int) -> int:
        """How many panels are still to be told, in all futures."""
        first, *others = (run.missing(panels) for run in self.runs)
        return first + sum(min(missing, panels - self._fork) for missing in others)

    def begin(self, opening: Opening, captions: Sequence[str]) -> None:
        """Start all stories, or take up what their folders hold of them."""
        first = self.runs[0]
        fresh = first.engine.start(opening)
        say_unknown(first.engine, opening.text, *captions)
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
            panels=[run.missing(panels) for run in self.runs],
            on_panel=on_panel,
        )
        bar.clear()
        first.release()

    def paint(self, settings: PaintSettings, base: Path | None, bar: Bar, at_once: int = 1) -> None:
        """Paint what has no picture yet, one future after the other."""
        for run in self.runs:
            run.paint(settings, base, bar, at_once)

    def pack(self) -> None:
        """Leave each story as one file beside its pictures."""
        for run in self.runs:
            run.pack()

    def close(self) -> None:
        """Let others write to the folders again."""
        for run in self.runs:
            run.close()

    def summary(self, panels: int) -> str:
        """What is kept so far and how to go on; empty before anything is."""
        begun = [run for run in self.runs if run.story.panels]
        if not begun:
            return ""
        if not any((run.folder / MANIFEST).is_file() for run in begun):
            return f"What was told is gone with {self.folder}, which was removed or renamed."
        told = sum(len(run.story) - 1 for run in begun)
        painted = told - sum(run.blank for run in begun)
        return (
            f"{told} of {panels * len(self.runs)} panels are told and {painted} painted; they are "
            f"kept in {self.folder}. The same command goes on from there."
        )

    def ending(self, page: str) -> str:
        """The last lines of a run that came to its end; ``page``: the name of each one's page."""
        return "\n".join(f"{run.folder.name}: {run.ending(page)}" for run in self.runs)


def name_of(number: int) -> str:
    """The folder of future ``number``, from 0."""
    return f"future-{number + 1}"
