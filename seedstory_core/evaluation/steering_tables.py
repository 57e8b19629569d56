"""Measures of steering as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ROWS: Mapping[str, str] = {
    "style": "style is there",
    "colours_from_styled": "colours away from the styled render",
    "colours_from_plain": "colours away from the plain render",
    "edges": "edges follow the hint (F1, within 1 px)",
    "columns": "everybody in the hint's column",
    "present": "named characters present",
    "accessory": "accessory right",
    "colours": "colours right",
    "place": "place right",
    "time": "time right",
    "weather": "weather right",
    "prop": "prop right",
    "all_right": "everything right",
    "place_first": "first panel's place",
    "actors_first": "first panel's characters",
    "place_second": "second panel's place",
    "actors_second": "second panel's characters",
}
WAYS: Mapping[str, str] = {
    "features": "features, before the de-tokenizer",
    "conditioning": "conditioning, after it",
}


def steering_markdown(result: Mapping[str, Any]) -> str:
    """All tables of one result of `steering.measure`."""
    world = result["world"]
    parts = [
        f"# Steering world {world['name']}",
        f"{result['panels']} true panels of held-out stories; seed {result['seed']}; world "
        f"{world['digest'][:12]}. Percent, with 95 % intervals (bootstrap over stories) in "
        "brackets; the noise of a panel is the same in every column.",
    ]
    if "lora" in result:
        lora = result["lora"]
        parts.append(f"## LoRA of style {lora['style']}, {lora['panels']} panels by strength")
        parts.append(_table(lora["strengths"]))
    if "controlnet" in result:
        parts.append("## ControlNet of edges, by strength")
        parts.append(_table(result["controlnet"]["strengths"]))
    blend = result["blend"]
    for name, title in WAYS.items():
        parts.append(f"## Blend of two panels' {title}; {blend['pairs']} pairs by share")
        parts.append(_table(blend[name]["shares"]))
        rising = [f"{what} {_cell(share)}" for what, share in blend[name]["rising"].items()]
        parts.append("Pairs in which the second comes and the first goes: " + ", ".join(rising))
    return "\n\n".join(parts) + "\n"


def _table(columns: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for row, title in ROWS.items():
        if all(row in column for column in columns.values()):
            cells = [_cell(column[row]) for column in columns.values()]
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(found: Mapping[str, float]) -> str:
    low, high = 100 * found["low"], 100 * found["high"]
    return f"{100 * found['value']:.1f} ({low:.1f} to {high:.1f})"
