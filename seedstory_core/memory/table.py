"""A plan as people read it."""

from __future__ import annotations

from ..files import human
from .plan import Fit, Plan

HEAD = ("phase", "model", "precision", "weights", "KV", "working", "peak", "how")
LEFT = (0, 1, 2, 7)  # columns of words


def render(plan: Plan) -> str:
    """A short table, and a sentence for everything that was chosen."""
    lines = [
        f"Memory plan for {plan.world!r}, preset {plan.preset}: {human(plan.usable)} to use of "
        f"{human(plan.device.total)} on {plan.device.name}.",
        *rows(plan),
        f"Context: {plan.run.context}, at most {plan.rows} rows (captions of up to "
        f"{plan.run.caption} word pieces).",
    ]
    if plan.run.paint:
        lines.append(
            "The LLM and the painter fit beside each other."
            if plan.together
            else "Told first, painted afterwards: one big model at a time."
        )
    if plan.tiled:
        lines.append("Pictures are decoded in tiles.")
    return "\n".join([*lines, plan.problem or "It fits.", *plan.advice])


def rows(plan: Plan) -> list[str]:
    """The table alone: a line for each phase, under a head."""
    return _columns([HEAD, *(_row(fit) for fit in plan.fits)])


def _row(fit: Fit) -> tuple[str, ...]:
    phase = fit.phase
    kept = human(phase.kept) if phase.kept else "-"
    return (
        phase.name,
        phase.model,
        phase.precision,
        human(phase.weights),
        kept,
        human(phase.working),
        human(phase.peak),
        _how(fit),
    )


def _how(fit: Fit) -> str:
    if fit.resident is None:
        return "DOES NOT FIT"
    if fit.whole:
        return "whole"
    return f"in parts: {human(fit.resident)} stay, {human(fit.streamed)} come for every pass"


def _columns(cells: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number in LEFT else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
