"""The features that the trained LLM says for every panel of a split.

Each is told from true ones; or, where the LLM has learnt to read its own (option ``self_fed``),
from what it told itself in the same window.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import torch
from torch import Tensor

from .cache import Rows, cached_rows, key_of
from .data import Stories
from .encoded import frozen, picture_features
from .llm import NAME as LLM
from .llm import Telling, TellingModule, open_mllm, open_words
from .stage import Job
from .windows import Scripts, Window

AT_ONCE = 8  # windows read in one pass


@dataclass(frozen=True)
class Kept:
    """A window, and the panels (``first`` to ``end``) that are taken from its answers."""

    window: Window
    first: int
    end: int


def plan(starts: list[int], panels: int, stride: int) -> list[Kept]:
    """Windows that tell every panel but the stories' first ones once, in order.

    Args:
        starts: as of `Stories`.
        panels: in a window at most. ``stride``: panels between the begins of two windows; the
            smaller, the more of the story each panel is told from.
    """
    kept = []
    for start, stop in zip(starts, starts[1:], strict=False):
        told, first = start + 1, start
        while told < stop:
            end = min(first + panels, stop)
            kept.append(Kept(Window(first, end, closes=False), told, end))
            told, first = end, first + stride
            if first >= told:
                first = told - 1
    return kept


def told_features(job: Job, stories: Stories, stride: int = 0) -> Rows:
    """Features [N, L, D] that the LLM of this run says; those of first panels are the true ones.

    Args:
        stride: see `plan`; 0 is half a window.
    """
    settings = job.settings(LLM)
    panels = settings.option("window", 9)
    stride = stride or max(1, panels // 2)
    true = picture_features(job, stories)
    windows = plan(stories.starts, panels, stride)
    ends = [kept.end for kept in windows]
    own = bool(settings.option("self_fed", 0.0))
    loaded: list[tuple[Telling, TellingModule]] = []

    @torch.no_grad()
    def compute(start: int, end: int) -> Tensor:
        if not loaded:
            sizes, words = open_words(job, stories)
            module = TellingModule(frozen(open_mllm(job, sizes), job)).eval()
            loaded.append((Telling(Scripts(words, stories), true, settings), module))
        telling, module = loaded[0]
        rows = true.take(torch.arange(start, end))
        at = bisect.bisect_right(ends, start)
        while at < len(windows) and windows[at].first < end:
            some = [kept for kept in windows[at : at + AT_ONCE] if kept.first < end]
            for panel, features in _say(telling, module, some, job.device, own):
                if start <= panel < end:
                    rows[panel - start] = features
            at += AT_ONCE
        return rows

    vision, llm = job.result("vision", "vision"), job.result(LLM, "llm")
    key = key_of(
        vision, llm, f"{panels} {stride} {own}", *map(str, stories.starts), *stories.captions
    )
    name = f"told-{stories.name}"
    return cached_rows(job.cache(), name, key, len(stories), true.shape, compute, job.progress)


def _say(
    telling: Telling, module: TellingModule, windows: list[Kept], device: torch.device, own: bool
) -> list[tuple[int, Tensor]]:
    """Kept panels and their features [L, D]."""
    batch = telling.batch([kept.window for kept in windows])
    batch = {name: value.to(device) for name, value in batch.items()}
    if own:
        batch = module.fed({**batch, "fed": torch.ones_like(batch["told"], dtype=torch.bool)})
    answers = module.answers(module.hidden(batch), batch).cpu()
    said = [(p, kept) for kept in windows for p in range(kept.window.first + 1, kept.window.end)]
    pairs = zip(said, answers, strict=True)
    return [(p, answer) for (p, kept), answer in pairs if kept.first <= p < kept.end]
