"""What must hold whatever the machine: the same words, the same pictures, the promised counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..context import Dense, MultimodalSink
from ..engines.seed_story.features import SPACE
from ..types import Panel
from .meter import Cost, Meter
from .modes import MODES, Mode
from .reread import behind_windows, under_sink
from .tracks import Theatre, Track

TOLERANCE = 1e-4  # of features, which are of order one
SINK_PANELS = 12  # of a story that a sink keeps whole


@dataclass(frozen=True)
class Finding:
    """Whether one invariant held, and what was seen."""

    name: str
    held: bool
    seen: str


def compare(name: str, mine: Sequence[Panel], other: Sequence[Panel]) -> list[Finding]:
    """Ids identical, features within `TOLERANCE`; features count up to the first other id."""
    same = [a.token_ids == b.token_ids for a, b in zip(mine, other, strict=True)]
    agreed = same.index(False) if False in same else len(same)
    pairs = list(zip(mine, other, strict=True))[: agreed + 1]
    worst = max(
        float((a.features[SPACE].double() - b.features[SPACE].double()).abs().max())
        for a, b in pairs
    )
    where = "" if agreed == len(same) else f"; the first other id is in panel {agreed + 1}"
    return [
        Finding(f"{name}: ids", all(same), f"{sum(same)} of {len(same)} panels equal{where}"),
        Finding(f"{name}: features", worst <= TOLERANCE, f"largest difference {worst:.1e}"),
    ]


def same_as_baseline(tracks: Mapping[str, Track], dtype: str) -> list[Finding]:
    """Every mode that must say what its baseline says; and what the unmerged baseline says."""
    found: list[Finding] = []
    for name, track in tracks.items():
        mode = track.mode
        others = ("ref", mode.baseline) if mode.baseline == "ref_merged" else (mode.baseline,)
        for other in others if mode.same else ():
            if other != name and other in tracks:
                what = f"{name} = {other} ({dtype})"
                found += compare(what, track.story.panels[1:], tracks[other].story.panels[1:])
    return found


def counts(tracks: Mapping[str, Track]) -> list[Finding]:
    """L + 2 forwards a panel, one where the caption is given, in the baseline one more for each
    image token but the first two; no row left out; KV constant under a cap."""
    found: list[Finding] = []
    for name, track in tracks.items():
        mode = track.mode
        said = 1 if mode.given else track.stage.length + 2
        wanted = (
            said + len(track.stage.slots) + (1 if mode.given else 0) if mode.reference else said
        )
        counted = sorted({cost.forwards for cost in track.costs})
        seen = " and ".join(map(str, counted))
        found.append(Finding(f"{name}: forwards a panel = {wanted}", counted == [wanted], seen))
        if mode.same and mode.baseline in tracks:
            found.append(_as_much(track, tracks[mode.baseline]))
        if isinstance(mode.policy, MultimodalSink):
            found += _constant(mode, track.costs)
    return found


def _as_much(track: Track, baseline: Track) -> Finding:
    """A mode that must say the same has as many rows before it, and a fresh one reads them all."""
    rows = [(cost.kv_rows, cost.tokens) for cost in track.costs]
    theirs = [(cost.kv_rows, cost.tokens) for cost in baseline.costs]
    read = track.mode.fresh or track.mode.reference
    same = sum(a[: 1 + read] == b[: 1 + read] for a, b in zip(rows, theirs, strict=True))
    what = "holds and reads" if read else "holds"
    name = f"{track.mode.name}: {what} as many rows as {baseline.mode.name}"
    return Finding(name, same == len(rows), f"{same} of {len(rows)} panels")


def _constant(mode: Mode, costs: Sequence[Cost]) -> list[Finding]:
    """Rows and bytes do not change once the cap is full."""
    policy = mode.policy
    assert isinstance(policy, MultimodalSink)
    full = policy.window + policy.cap + 2  # the opening's caption is of another length
    held = {(cost.kv_rows, cost.kv_bytes) for cost in costs[full:]}
    if len(costs) - full < 2:
        return []
    rows = sorted({rows for rows, _ in held})
    name = f"{mode.name}: KV constant from panel {full + 1} on"
    return [Finding(name, len(held) == 1, f"{rows[0]} to {rows[-1]} rows")]


def as_read_at_once(theatre: Theatre, track: Track, dtype: str) -> list[Finding]:
    """Panels under `Block` or a sink equal what stock transformers means by the same rows."""
    stage, baseline = theatre.stage, theatre.baseline(merged=True)
    told = track.story.panels[1:]
    if isinstance(track.mode.policy, MultimodalSink):
        what, other = "its rows kept in transformers' cache", under_sink(stage, baseline, track)
    else:
        what, other = "fresh re-encode of its window", behind_windows(stage, baseline, track)
    return compare(f"{track.mode.name} = {what} ({dtype})", told, other)


def wide_sink(theatre: Theatre, meter: Meter, dtype: str) -> list[Finding]:
    """A sink from which nothing is evicted says what `Dense` says."""
    panels = min(SINK_PANELS, len(theatre.stage.captions))
    sink = MODES["sink"]
    policy = replace(MultimodalSink(), window=panels + 1)
    modes = (replace(sink, policy=policy), replace(sink, policy=Dense()))
    tracks = theatre.tracks(modes)
    for _ in range(panels):
        for track in tracks:
            track.advance(meter)
    name = f"sink with window >= story = dense ({dtype})"
    return compare(name, tracks[0].story.panels[1:], tracks[1].story.panels[1:])
