"""Futures of a story: the same beginning told on several times, each its own way.

A future is a story like any other. Its seeds follow from one seed and its number, its name from the
story's name, so the same request gives the same futures again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from .context import ContextPolicy
from .engine import Engine
from .errors import SeedStoryError
from .sampling import Greedy, Sampling
from .types import Progress, Story, no_progress

MOST = 64  # futures at once: more are more likely a slip than a wish
MAX_SEED = 2**64 - 1
SEED_BYTES = 6  # of a made seed: whole numbers that browsers, too, write exactly

#: Captions of one story's coming panels; None, or none left, where the model writes.
Captions = Sequence[str | None]
#: Is given the number of a story and the story with one more panel, or ended.
OnPanel = Callable[[int, Story], object]


@runtime_checkable
class TellsTogether(Protocol):
    """An engine that tells several stories in one batch."""

    def tell_futures(
        self,
        stories: Sequence[Story],
        captions: Sequence[Captions] | None = None,
        sampling: Sampling | None = None,
        context: ContextPolicy | None = None,
        seeds: Sequence[int] | None = None,
        progress: Progress = no_progress,
        *,
        panels: int | Sequence[int] = 1,
        on_panel: OnPanel = lambda number, story: None,
    ) -> list[Story]:
        """As `tell_futures` of this module."""
        ...


def tell_futures(
    engine: Engine,
    stories: Sequence[Story],
    captions: Sequence[Captions] | None = None,
    sampling: Sampling | None = None,
    context: ContextPolicy | None = None,
    seeds: Sequence[int] | None = None,
    progress: Progress = no_progress,
    *,
    panels: int | Sequence[int] = 1,
    on_panel: OnPanel = lambda number, story: None,
) -> list[Story]:
    """Several stories, each told on as `Engine.tell` alone would tell it.

    They may be branches of one story, or have nothing in common. Engines that can tell them
    together; the others one after the other.

    Args:
        captions: of each story's coming panels.
        seeds: of each story's first new panel; the next ones have seed + 1, + 2...
        panels: how many to tell, for all stories or for each. One that ends has fewer.
        on_panel: called as soon as a panel is finished, so that it can be kept.

    Raises:
        SeedStoryError: as of `Engine.tell`, or the arguments belong to other numbers of stories.
    """
    tell = engine.tell_futures if isinstance(engine, TellsTogether) else None
    more = {"panels": panels, "on_panel": on_panel}
    if tell is not None:
        return tell(stories, captions, sampling, context, seeds, progress, **more)  # type: ignore[arg-type]
    plans = plans_of(stories, captions, seeds, panels)
    return one_after_the_other(engine, plans, sampling, context, progress, on_panel)


class Plan:
    """What is to become of one story.

    Attributes:
        number: of the story among the others, from 0.
        panels: how many more it gets.
    """

    def __init__(
        self, number: int, story: Story, captions: Captions, seed: int, panels: int
    ) -> None:
        self.number, self.story, self.panels = number, story, panels
        self._captions, self._seed = captions, seed

    def caption(self, panel: int) -> str | None:
        """The given caption of new panel ``panel``, from 0."""
        return self._captions[panel] if panel < len(self._captions) else None

    def seed(self, panel: int) -> int:
        """The seed of new panel ``panel``, from 0."""
        return (self._seed + panel) & MAX_SEED


def plans_of(
    stories: Sequence[Story],
    captions: Sequence[Captions] | None,
    seeds: Sequence[int] | None,
    panels: int | Sequence[int],
) -> list[Plan]:
    """One plan for each story.

    Raises:
        SeedStoryError: captions, seeds or panels of another number of stories, or impossible ones.
    """
    count = len(stories)
    given = [()] * count if captions is None else list(captions)
    seeds = [0] * count if seeds is None else list(seeds)
    each = [panels] * count if isinstance(panels, int) else list(panels)
    for what, found in (("captions", given), ("seeds", seeds), ("numbers of panels", each)):
        if len(found) != count:
            raise SeedStoryError(
                f"{count} stories need as many {what}, got {len(found)}. Give one for each story."
            )
    wrong = [seed for seed in seeds if not 0 <= seed <= MAX_SEED]
    if wrong:
        raise SeedStoryError(f"A seed is a whole number from 0 to {MAX_SEED}, got {wrong[0]}.")
    parts = zip(stories, given, seeds, each, strict=True)
    return [Plan(number, *part) for number, part in enumerate(parts)]


def one_after_the_other(
    engine: Engine,
    plans: Sequence[Plan],
    sampling: Sampling | None,
    context: ContextPolicy | None,
    progress: Progress,
    on_panel: OnPanel,
) -> list[Story]:
    """The stories of ``plans``, told one by one."""
    stories, before, all_panels = [], 0, sum(plan.panels for plan in plans)
    for plan in plans:
        story = plan.story
        for panel in range(plan.panels):
            report = _share(progress, before + panel, all_panels, plan.number)
            how = {"seed": plan.seed(panel), "progress": report}
            longer = engine.tell(story, plan.caption(panel), sampling, context, **how)  # type: ignore[arg-type]
            if longer is story:
                break
            story = longer
            on_panel(plan.number, story)
        stories.append(story)
        before += plan.panels
    return stories


def _share(progress: Progress, before: int, panels: int, number: int) -> Progress:
    """Reports one panel as its share of all panels."""

    def report(done: int, total: int, note: str = "") -> None:
        progress(before * total + done, panels * total, numbered(number, note) if note else "")

    return report


def numbered(number: int, note: str) -> str:
    """``note`` with the story's number as people count.

    >>> numbered(0, "Mila runs.")
    '1 · Mila runs.'
    """
    return f"{number + 1} · {note}"


def future_seed(seed: int, number: int) -> int:
    """The seed of future ``number``, from 0; the first has the given one and so tells what a single
    story with this seed tells.

    >>> future_seed(5, 0), future_seed(5, 1) != future_seed(5, 2)
    (5, True)
    """
    if number == 0:
        return seed
    digest = hashlib.sha256(f"{seed}/{number}".encode()).digest()
    return int.from_bytes(digest[:SEED_BYTES], "big")


def future_run(run: str, number: int) -> str:
    """The name of future ``number``, from 0.

    >>> future_run("tale", 0)
    'tale-future-1'
    """
    return f"{run}-future-{number + 1}"


def futures_of(story: Story, count: int) -> list[Story]:
    """``story`` as often as it is to be told on, each under a name of its own."""
    if not 1 <= count <= MOST:
        raise SeedStoryError(f"A story has 1 to {MOST} futures at once, got {count}.")
    return [replace(story, run=future_run(story.run, number)) for number in range(count)]


def check_apart(count: int, sampling: Sampling, captions: Sequence[Captions] | None) -> None:
    """Refuse futures that could not but be the same story.

    Raises:
        SeedStoryError: the likeliest word is always taken, and no two captions differ.
    """
    first = {tuple(given) for given in captions or ()}
    if count > 1 and len(first) < 2 and isinstance(sampling.picker, Greedy):
        raise SeedStoryError(
            f"All {count} futures would be the same story: the likeliest word is always taken. "
            "Draw words (a temperature above 0), or give each future a caption of its own to "
            "begin with."
        )
