"""Judgements as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .judge import ROWS, TARGETS
from .references import CEILINGS, FLOORS, RENDER, SHUFFLED, TRUE_FEATURES, UNTRAINED, VAE
from .runs import SCRIPT

TITLES: Mapping[str, str] = {
    SCRIPT: "features by the model",
    RENDER: "true render",
    VAE: "VAE alone",
    TRUE_FEATURES: "true features",
    SHUFFLED: "shuffled features",
    UNTRAINED: "untrained painter",
}


def markdown(result: Mapping[str, Any]) -> str:
    """All tables of one result of `evaluate.evaluate`.

    Shares are in percent with their 95 % intervals; a row below its target is marked with ``<``.
    """
    world = result["world"]
    parts = [
        f"# World {world['name']}",
        f"Starts: {result['starts']}; seed {result['seed']}; world {world['digest'][:12]}. "
        "Percent, with 95 % intervals (bootstrap over stories) in brackets; `<` marks what misses "
        "its target.",
    ]
    for length in _lengths(result["runs"]):
        runs = [run for run in result["runs"] if length in run["lengths"]]
        heads = [f"{run['policy']}, {run['drawing']}" for run in runs]
        parts.append(f"## Told stories, {length} panels")
        parts.append(_table(heads, [run["lengths"][length] for run in runs]))
    told = [run for run in result["runs"] if run["held_out"]]
    if told:
        parts.append("## Told stories, panels of held-out combinations only")
        heads = [f"{run['policy']}, {run['drawing']}" for run in told]
        parts.append(_table(heads, [run["held_out"] for run in told]))
    if result.get("given"):
        parts += _given(result)
    parts += _looks(result)
    if result.get("damaged"):
        parts += _damaged(result["damaged"])
    if result["probes"]:
        parts.append("## Probes on unseen renders, right and wrong ones")
        shares = [f"{name} {share:.2%}" for name, share in result["probes"].items()]
        parts.append(", ".join(shares) + ".")
    return "\n\n".join(parts) + "\n"


def _lengths(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted({length for run in runs for length in run["lengths"]}, key=int)


def _given(result: Mapping[str, Any]) -> list[str]:
    given = result["given"]
    names = [name for name in (SCRIPT, *CEILINGS, *FLOORS) if name in given]
    (length,) = _lengths([given[names[0]]])[-1:]
    heads = [TITLES[name] for name in names]
    parts = [
        f"## Given captions of true held-out stories, {length} panels",
        _table(heads, [given[name]["lengths"][length] for name in names]),
        "### Panels of held-out combinations only",
        _table(heads, [given[name]["held_out"] for name in names]),
    ]
    if "vae_exact_pixels" in result:
        parts.append(f"The VAE gives {result['vae_exact_pixels']:.2%} of all pixels back exactly.")
    apart = result.get("script_minus_true_features")
    if apart:
        lines = [
            f"{ROWS[row]} {100 * d['value']:+.1f} ({100 * d['low']:+.1f} to {100 * d['high']:+.1f})"
            for row, d in apart.items()
        ]
        parts.append("The model's features against true ones, in points: " + "; ".join(lines) + ".")
    return parts


def _looks(result: Mapping[str, Any]) -> list[str]:
    """A column for each character, a line for each way of telling."""
    runs = {f"{run['policy']}, {run['drawing']}": run for run in result["runs"]}
    runs |= {TITLES[name]: judged for name, judged in result.get("given", {}).items()}
    judged = {title: run["by_name"] for title, run in runs.items() if run.get("by_name")}
    names = sorted({name for shares in judged.values() for name in shares})
    if not names:
        return []
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for title, shares in judged.items():
        cells = [_cell(shares.get(name), None) for name in names]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return ["## Appearances with their own looks, by character", "\n".join(lines)]


def _damaged(damaged: Mapping[str, Any]) -> list[str]:
    lines = ["| damage | picture and caption right | good minus damaged, points |", "|---|---|---|"]
    for name, found in damaged.items():
        apart = found["good_minus_damaged"]
        span = (
            f"{100 * apart['value']:+.1f} ({100 * apart['low']:+.1f} to {100 * apart['high']:+.1f})"
        )
        lines.append(f"| {name.replace('_', ' ')} | {_cell(found['share'], None)} | {span} |")
    return ["## Damaged on purpose", "\n".join(lines)]


def _table(heads: Sequence[str], columns: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| | target | " + " | ".join(heads) + " |",
        "|---|---|" + "---|" * len(heads),
    ]
    for row, title in ROWS.items():
        if any(row in column for column in columns):
            target = TARGETS.get(row)
            cells = [_cell(column.get(row), target) for column in columns]
            wanted = "" if target is None else f"{100 * target:.0f}"
            lines.append(f"| {title} | {wanted} | " + " | ".join(cells) + " |")
    counts = [_judged(column) for column in columns]
    lines.append("| panels judged | | " + " | ".join(counts) + " |")
    return "\n".join(lines)


def _judged(column: Mapping[str, Any]) -> str:
    share = column.get("all_right")
    return str(share["count"]) if share else "0"


def _cell(share: Mapping[str, float] | None, target: float | None) -> str:
    if share is None:
        return ""
    missed = "< " if target is not None and share["value"] < target else ""
    low, high = 100 * share["low"], 100 * share["high"]
    return f"{missed}{100 * share['value']:.1f} ({low:.1f} to {high:.1f})"
