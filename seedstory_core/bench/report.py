"""A run's figures as Markdown tables, for a terminal and for the docs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..files import human
from .meter import PHASES
from .summary import SAMPLED

STAGES = {
    "filling": "all panels in view (panels 2 to 8)",
    "steady": "the window slides (from panel 9 on, whole periods of 4)",
    "all": "the whole story",
}
#: (mode, stage, least ratio to the merged baseline) on a CPU, from the project's plan.
TARGETS = (
    ("fused", "steady", 1.4),
    ("exact", "filling", 2.0),
    ("block", "steady", 2.5),
    ("sink", "steady", 2.5),
    ("given", "filling", 8.0),
    ("given_sink", "steady", 8.0),
)
MOST_GROWTH, LEAST_LOADING = 1.10, 5.0
GROWS_NOT = "sink"


def markdown(result: Mapping[str, Any]) -> str:
    """All tables of a run."""
    parts = [_head(result), _counts(result)]
    for stage, title in STAGES.items():
        rows = [
            (name, figures) for name, figures in result["modes"].items() if stage in figures["ms"]
        ]
        if rows:
            parts.append(f"**{title}**\n\n{_times(rows, stage, result['modes'])}")
    parts += [
        _kv(result),
        _futures(result["futures"]),
        _loading(result["loading"]),
        _lacking(result["lacking"]),
    ]
    parts += [_cosines(result["modes"]), _targets(result), _invariants(result["invariants"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def broken(result: Mapping[str, Any]) -> list[str]:
    """Invariants that did not hold, each with what was seen."""
    return [f"{item['name']}: {item['seen']}" for item in result["invariants"] if not item["held"]]


def ratio_to_merged(modes: Mapping[str, Any], name: str, stage: str) -> float | None:
    """How many times faster a mode is than the merged baseline of its kind."""
    figures = modes.get(name)
    if figures is None or stage not in figures["ratio"]:
        return None
    return figures["ratio"][stage]


def _head(result: Mapping[str, Any]) -> str:
    machine, sizes = result["machine"], result["sizes"]
    where = machine.get("gpu") or machine["processor"]
    load = "/".join(map(str, machine["load"])) or "unknown"
    after = "/".join(map(str, machine["load_after"])) or "unknown"
    return (
        f"scale {result['scale']}: width {sizes['width']}, {sizes['layers']} layers, vocabulary "
        f"{sizes['vocab']}, {result['dtype']}; {result['panels']} panels of {result['words']} "
        f"words, seed {result['seed']}\n"
        f"{where}, {machine['cores']} cores, {machine['system']}; torch {machine['torch']}, "
        f"transformers {machine['transformers']}; {result['clock']}; load {load} before, "
        f"{after} after"
    )


def _counts(result: Mapping[str, Any]) -> str:
    head = ("mode", "what", "forwards", "rows, filling", "rows, steady", "lm_head rows", "peak")
    rows = [
        (
            name,
            figures["what"],
            _spread(figures["forwards"]),
            _number(figures["tokens"].get("filling")),
            _number(figures["tokens"].get("steady")),
            _spread(figures["head_rows"]),
            "-" if figures["peak_bytes"] is None else human(figures["peak_bytes"]),
        )
        for name, figures in result["modes"].items()
    ]
    return f"**a panel's work**\n\n{_table(head, rows)}"


def _times(
    rows: Iterable[tuple[str, Mapping[str, Any]]], stage: str, modes: Mapping[str, Any]
) -> str:
    shares = any("share_of_copy_bandwidth" in figures for figures in modes.values())
    head = ["mode", "ms, median", "p90", "mean", *PHASES, "times baseline", "baseline"]
    lines = []
    for name, figures in rows:
        ms = figures["ms"][stage]
        line = [name, *(f"{ms[key]:.0f}" for key in ("median", "p90", "mean", *PHASES))]
        line += [f"{figures['ratio'][stage]:.2f}", figures["baseline"]]
        if shares:
            line.append(_percent(figures.get("share_of_copy_bandwidth")))
        lines.append(line)
    return _table([*head, "of copy bandwidth"] if shares else head, lines)


def _kv(result: Mapping[str, Any]) -> str:
    sampled = [str(panel) for panel in SAMPLED if panel <= result["panels"]]
    head = ("mode", *(f"panel {panel}" for panel in sampled), "growth of ms")
    rows = []
    for name, figures in result["modes"].items():
        held = [figures["kv"][panel] for panel in sampled]
        cells = [f"{kv['rows']} ({human(kv['bytes'])})" for kv in held]
        growth = figures["growth"]
        rows.append((name, *cells, "-" if growth is None else f"{growth:.2f}"))
    return f"**KV held, rows (memory); ms of panels 150-200 over 20-50**\n\n{_table(head, rows)}"


def _futures(futures: Mapping[str, Any]) -> str:
    rows = [
        (name, f"{futures['forwards'][name]:.1f}", f"{ms:.0f}")
        for name, ms in futures["ms"].items()
    ]
    title = f"{futures['stories']} futures of {futures['panels']} panels"
    head = ("told", "forwards a panel of one", "ms a panel of one")
    found = f"**{title}: together {futures['ratio']:.2f} times faster**"
    return f"{found}\n\n{_table(head, rows)}"


def _loading(loading: Mapping[str, Any] | None) -> str:
    if loading is None:
        return ""
    rows = [
        (
            dtype,
            name,
            human(loading["bytes"][name]),
            f"{timed['seconds'][name]:.2f}",
            f"{timed['cpu_seconds'][name]:.2f}",
            f"{timed['ratio']:.1f}" if name == "world" else "1.0",
        )
        for dtype, timed in loading["dtypes"].items()
        for name in ("reference", "world")
    ]
    head = ("weights in", "loading", "files", "seconds", "cpu seconds", "times reference")
    title = f"**loading LLM and visual tokenizer, {loading['parameters'] / 1e6:.0f} M weights**"
    return f"{title}\n\n{_table(head, rows)}"


def _lacking(lacking: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: not run ({why})" for name, why in lacking.items())


def _cosines(modes: Mapping[str, Any]) -> str:
    found = {
        name: figures["feature_cosine"]
        for name, figures in modes.items()
        if "feature_cosine" in figures
    }
    return "\n".join(
        f"{name}: features' cosine to unquantised weights {value:.5f}"
        for name, value in found.items()
    )


def _targets(result: Mapping[str, Any]) -> str:
    """How far the CPU's targets are reached; times never decide whether a run fails."""
    modes = result["modes"]
    found = [
        (f"{name}, {stage}", f">= {least:g}", f"{value:.2f}", value >= least)
        for name, stage, least in TARGETS
        if (value := ratio_to_merged(modes, name, stage)) is not None
    ]
    slowest = min(_ratios(modes), default=None)
    if slowest is not None:
        value, name, stage = slowest
        found.append((f"no mode slower: {name}, {stage}", ">= 1", f"{value:.2f}", value >= 1))
    sink = modes.get(GROWS_NOT, {}).get("growth")
    if sink is not None:
        found.append((f"{GROWS_NOT}, growth", "<= 1.10", f"{sink:.2f}", sink <= MOST_GROWTH))
    if result["loading"] is not None:
        value = result["loading"]["dtypes"]["float16"]["ratio"]
        found.append(("loading, as stored", ">= 5", f"{value:.1f}", value >= LEAST_LOADING))
    if result["scale"] != "small" or not found:
        return ""
    rows = [(*row[:3], "reached" if row[3] else "missed") for row in found]
    return f"**targets**\n\n{_table(('what', 'target', 'here', ''), rows)}"


def _ratios(modes: Mapping[str, Any]) -> Iterable[tuple[float, str, str]]:
    """Every ratio of a mode of ours to its baseline."""
    for name, figures in modes.items():
        if not name.startswith("ref"):
            yield from ((value, name, stage) for stage, value in figures["ratio"].items())


def _invariants(found: Sequence[Mapping[str, Any]]) -> str:
    rows = [(item["name"], item["seen"], "held" if item["held"] else "BROKEN") for item in found]
    return f"**invariants**\n\n{_table(('invariant', 'seen', ''), rows)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    cells.insert(1, ["-" * max(3, width) for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    )


def _spread(counts: Mapping[str, int]) -> str:
    least, most = counts["least"], counts["most"]
    return str(least) if least == most else f"{least} to {most}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
