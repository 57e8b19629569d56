"""Best of N: one panel told several times, the best in the story, the others beside it.

What is best is said by a rule that looks at the takes, or by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch.nn.functional import cosine_similarity

from ..context import ContextPolicy
from ..engine import Engine
from ..errors import SeedStoryError
from ..futures import MOST, check_apart, future_seed, tell_futures
from ..sampling import Sampling
from ..story import check_story
from ..types import Json, Panel, Progress, Story, no_progress
from .chain import chained, noted
from .lines import rewind
from .retelling import recorded

Score = Callable[[Story, Panel], float]


@dataclass(frozen=True)
class Takes:
    """Several tellings of one panel.

    Attributes:
        story: with the best take.
        others: the story with each other take, under names of their own.
        captions: of all takes, in the order they were told.
        scores: of all takes by the rule; empty where one was picked by hand.
        best: number of the best one, from 0.
    """

    story: Story
    others: tuple[Story, ...]
    captions: tuple[str, ...]
    scores: tuple[float, ...]
    best: int


def likeness(story: Story, panel: Panel) -> float:
    """Cosine of the panel's features and those of the last panel of ``story``, -1 to 1."""
    last = story.panels[-1].features
    spaces = sorted(panel.features.keys() & last.keys())
    if not spaces:
        raise SeedStoryError(
            f"The last panel of story {story.run!r} has no features, so takes cannot be compared "
            "with it. Load the whole story, or pick a take by hand."
        )
    here, before = panel.features[spaces[0]], last[spaces[0]]
    return float(cosine_similarity(here.flatten().float(), before.flatten().float(), dim=0))


def newness(story: Story, panel: Panel) -> float:
    """Minus `likeness`."""
    return -likeness(story, panel)


def fresh_words(story: Story, panel: Panel) -> float:
    """Share of the caption's pairs of words that no caption of ``story`` has, 0 to 1."""
    said = {pair for before in story.panels for pair in _pairs(before.caption)}
    own = _pairs(panel.caption)
    return sum(pair not in said for pair in own) / len(own) if own else 0.0


def _pairs(caption: str) -> list[tuple[str, str]]:
    words = re.findall(r"\w+", caption.lower())
    return list(zip(words, words[1:], strict=False))


#: How the best take is found, by the name it has in nodes. Of equals, the first.
RULES: Mapping[str, Score] = {
    "most new words": fresh_words,
    "most like the last picture": likeness,
    "least like the last picture": newness,
}


def best_of(
    engine: Engine,
    story: Story,
    index: int,
    takes: int,
    seed: int,
    rule: str | Score = "most new words",
    pick: int | None = None,
    *,
    sampling: Sampling | None = None,
    context: ContextPolicy | None = None,
    progress: Progress = no_progress,
) -> Takes:
    """Panel ``index`` told ``takes`` times; later panels stay as they are.

    The first take has the given seed and so is what a re-roll with it tells.

    Args:
        index: of a told panel, or the number of panels: then it is a new one behind the last.
        rule: one of `RULES`, or a function of the story before the panel and the panel.
        pick: number of the best take, from 0; None: the rule says.

    Raises:
        SeedStoryError: the opening; takes that could not differ; all of them end the story.
    """
    check_story(story, engine)
    _check(story, index, takes, rule, pick)
    before = rewind(story, index - 1)
    old = story.panels[index] if index < len(story) else None
    if old is not None:
        used, seen, _ = recorded(old)
        sampling, context = sampling or used, context or seen
    if sampling is not None:
        check_apart(takes, sampling, None)
    seeds = [future_seed(seed, number) for number in range(takes)]
    longer = tell_futures(engine, [before] * takes, None, sampling, context, seeds, progress)
    told = [one.panels[-1] for one in longer if len(one) > len(before)]
    if not told:
        raise SeedStoryError(
            f"In all {takes} takes the model ended the story instead of telling panel {index}. "
            "Use another seed, or give the panel's caption."
        )
    score = RULES[rule] if isinstance(rule, str) else rule
    scores = () if pick is not None else tuple(score(before, panel) for panel in told)
    best = max(range(len(told)), key=lambda n: scores[n]) if pick is None else pick
    if best >= len(told):
        raise SeedStoryError(f"Only {len(told)} takes have a picture; take {best + 1} has none.")
    return _chosen(story, index, old, told, scores, best)


def _check(story: Story, index: int, takes: int, rule: str | Score, pick: int | None) -> None:
    if not 1 <= index <= len(story):
        raise SeedStoryError(
            f"Panels 1 to {len(story)} of story {story.run!r} can be told in several takes, where "
            f"{len(story)} is a new one; got {index}. The opening is given."
        )
    if not 1 <= takes <= MOST:
        raise SeedStoryError(f"A panel has 1 to {MOST} takes, got {takes}.")
    if isinstance(rule, str) and rule not in RULES:
        raise SeedStoryError(f"There is no rule {rule!r}; there are {', '.join(RULES)}.")
    if pick is not None and not 0 <= pick < takes:
        raise SeedStoryError(f"Takes 1 to {takes} can be picked, got {pick + 1}.")


def _chosen(
    story: Story,
    index: int,
    old: Panel | None,
    told: Sequence[Panel],
    scores: Sequence[float],
    best: int,
) -> Takes:
    table: list[Json] = [
        {"seed": panel.seed, "caption": panel.caption, "token_ids": list(panel.token_ids)}
        for panel in told
    ]

    def with_take(number: int, run: str) -> Story:
        details: dict[str, Json] = {"takes": table, "best": best, "take": number}
        if scores:
            details["scores"] = list(scores)
        new = noted(told[number], "best_of", old, **details)
        panels = (*story.panels[:index], new, *story.panels[index + 1 :])
        longer = index == len(story)
        return chained(replace(story, run=run, closing=None if longer else story.closing), panels)

    others = [number for number in range(len(told)) if number != best]
    return Takes(
        with_take(best, story.run),
        tuple(with_take(number, f"{story.run}-take-{number + 1}") for number in others),
        tuple(panel.caption for panel in told),
        tuple(scores),
        best,
    )
