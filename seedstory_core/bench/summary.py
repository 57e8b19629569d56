"""Costs of panels -> the figures of a mode: plain JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median, quantiles
from typing import Any

from .meter import PHASES, Cost
from .modes import WINDOW, Mode

SAMPLED = (1, 8, 25, 50, 100, 200)  # panels at which the KV is looked at
EARLY, LATE = range(20, 51), range(150, 201)  # panels whose times growth compares


def stages(panels: int) -> dict[str, range]:
    """Panels (counted from 1) by what happens in them; empty ranges where a story is too short.

    ``filling``: all panels are in view, and there was one before to keep KV of. ``steady``: the
    window slides. `Block` slides every fourth panel, so whole periods only.
    """
    start = WINDOW + 1  # the first for which a panel has to leave: the opening is panel 0
    period = (panels - start + 1) // 4 * 4
    return {
        "all": range(1, panels + 1),
        "filling": range(2, min(panels, WINDOW) + 1),
        "steady": range(panels - period + 1, panels + 1) if period > 0 else range(0),
    }


def summarize(mode: Mode, costs: Sequence[Cost], baseline: Sequence[Cost]) -> dict[str, Any]:
    """All figures of one mode. Times are in ms; ratios say how many times faster the mode is than
    its baseline over the same panels of the same run."""
    spans = stages(len(costs))
    return {
        "what": mode.what,
        "baseline": mode.baseline,
        "forwards": _spread([cost.forwards for cost in costs]),
        "tokens": _tokens(spans, costs),
        "head_rows": _spread([cost.head_rows for cost in costs]),
        "ms": {name: times(_at(costs, span)) for name, span in spans.items() if span},
        "ratio": {name: ratio(costs, baseline, span) for name, span in spans.items() if span},
        "kv": {
            str(panel): {"rows": costs[panel - 1].kv_rows, "bytes": costs[panel - 1].kv_bytes}
            for panel in SAMPLED
            if panel <= len(costs)
        },
        "growth": growth(costs),
        "peak_bytes": max(
            (cost.peak_bytes for cost in costs if cost.peak_bytes is not None), default=None
        ),
        "panels": _columns(costs),
    }


def times(costs: Sequence[Cost]) -> dict[str, float]:
    """Milliseconds a panel: median, 90th percentile, mean, and the mean of each phase."""
    totals = [1000 * cost.total for cost in costs]
    spread = {"median": median(totals), "p90": p90(totals), "mean": sum(totals) / len(totals)}
    phases = {
        phase: 1000 * sum(cost.seconds[phase] for cost in costs) / len(costs) for phase in PHASES
    }
    return {**spread, **phases}


def p90(values: Sequence[float]) -> float:
    """90th percentile; the largest of fewer than two."""
    return quantiles(values, n=10, method="inclusive")[-1] if len(values) > 1 else values[0]


def ratio(costs: Sequence[Cost], baseline: Sequence[Cost], span: range) -> float:
    """Total time of the baseline over the mode's, so that a period's dear panels count."""
    mine = sum(cost.total for cost in _at(costs, span))
    return sum(cost.total for cost in _at(baseline, span)) / mine if mine else float("inf")


def growth(costs: Sequence[Cost]) -> float | None:
    """Median time of late panels over that of early ones; None for a shorter story."""
    if len(costs) < LATE[-1]:
        return None
    early, late = (median(cost.total for cost in _at(costs, span)) for span in (EARLY, LATE))
    return late / early


def decode_share(
    costs: Sequence[Cost], weight_bytes: int, row_bytes: int, bandwidth: float, words: int
) -> float | None:
    """Fraction of ``bandwidth`` (bytes a second) that decoding words reaches; None without words.

    Each word reads all weights and the KV rows before it.
    """
    seconds = sum(cost.seconds["decode"] for cost in costs)
    if not seconds:
        return None
    read = sum(words * (weight_bytes + cost.kv_rows * row_bytes) for cost in costs)
    return read / seconds / bandwidth


def _at(costs: Sequence[Cost], span: range) -> list[Cost]:
    return [costs[panel - 1] for panel in span]


def _spread(values: Sequence[int]) -> dict[str, int]:
    return {"least": min(values), "median": int(median(values)), "most": max(values)}


def _tokens(spans: Mapping[str, range], costs: Sequence[Cost]) -> dict[str, float]:
    return {
        name: sum(cost.tokens for cost in _at(costs, span)) / len(span)
        for name, span in spans.items()
        if span
    }


def _columns(costs: Sequence[Cost]) -> dict[str, Any]:
    """Every panel's figures, a list each."""
    counts = ("forwards", "tokens", "head_rows", "kv_rows", "kv_bytes", "peak_bytes")
    columns: dict[str, Any] = {name: [getattr(cost, name) for cost in costs] for name in counts}
    for phase in PHASES:
        columns[f"{phase}_ms"] = [round(1000 * cost.seconds[phase], 3) for cost in costs]
    return columns
