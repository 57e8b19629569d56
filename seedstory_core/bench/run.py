"""One run: all modes on the same weights and inputs, panel by panel in turn; then the checks."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..errors import SeedStoryError
from ..types import Progress, no_progress
from . import invariants, machine
from .agreement import agreement, feature_cosine, quantised_agrees
from .futures import time_futures
from .invariants import Finding
from .loading import time_loading
from .meter import Meter
from .modes import DEFAULT, Mode, chosen
from .sizes import Scale, scale_of
from .stage import make_stage
from .summary import decode_share, summarize
from .tracks import Theatre, Track
from .weights import Weights, random_weights

FORMAT, VERSION = "seedstory-bench", 1
READ_AT_ONCE = ("block", "sink", "given_sink")  # modes that no baseline tells word by word
WARM_UP = 2  # panels told before the clock counts


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        panels: of each mode's story; None is the scale's own number.
        words: of each caption.
        checked: panels told once more in fp64 to compare ids; None: all.
        load: whether loading is timed too.
    """

    scale: str = "tiny"
    panels: int | None = None
    modes: Sequence[str] = DEFAULT
    words: int = 50
    checked: int | None = None
    load: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.panels is not None and self.panels < 1) or self.words < 1:
            raise SeedStoryError(
                f"A benchmark tells at least 1 panel of at least 1 word, got {self.panels} of "
                f"{self.words}."
            )


def bench(options: Options, progress: Progress = no_progress) -> dict[str, Any]:
    """Measure and check; plain JSON, with ``invariants`` as a list of what held and what did not.

    Raises:
        SeedStoryError: an unknown scale or mode, or a scale that needs CUDA where there is none.
    """
    scale = scale_of(options.scale)
    device = _device(scale)
    panels = options.panels or scale.panels
    modes, lacking = chosen(options.modes, device)
    with _one_thread(device):
        told = machine.facts(device)
        dtype: torch.dtype = getattr(torch, scale.dtype)
        weights = random_weights(scale.config, device, dtype, options.seed)
        theatre = _theatre(scale, weights, panels, options)
        total = panels * len(modes)
        tracks = tell_in_turn(theatre, modes, panels, device, progress)
        found = invariants.counts(tracks) + check(scale, theatre, tracks)
        if scale.exact:
            found += _in_fp64(scale, weights, tracks, options, progress)
        figures = _figures(theatre, tracks, told.get("copy_bytes_per_second"))
        for name in figures:
            if "feature_cosine" in figures[name]:
                found += quantised_agrees(name, figures[name]["feature_cosine"])
        progress(total, total, "futures")
        futures, agreed = time_futures(theatre.stage)
        found += agreed if scale.exact else []
        progress(total, total, "loading")
        loading = (
            time_loading(scale.load, device, dtype, options.seed)
            if options.load and scale.load is not None
            else None
        )
    return {
        "format": FORMAT,
        "version": VERSION,
        "scale": scale.name,
        "dtype": scale.dtype,
        "panels": panels,
        "words": options.words,
        "seed": options.seed,
        "sizes": scale.config.to_json()["llm"],
        "clock": Meter(device).clock.name,
        "machine": {**told, "load_after": machine.load()},
        "modes": figures,
        "lacking": lacking,
        "futures": futures,
        "loading": loading,
        "invariants": [vars(finding) for finding in found],
    }


def tell_in_turn(
    theatre: Theatre,
    modes: Sequence[Mode],
    panels: int,
    device: torch.device,
    progress: Progress = no_progress,
) -> dict[str, Track]:
    """A story of ``panels`` panels for each mode. All tell a panel before any tells the next, and
    another begins each time, so that what else the machine does falls on all alike."""
    meter = Meter(device)
    for track in theatre.tracks(modes):
        for _ in range(min(WARM_UP, panels)):
            track.advance(meter)
    tracks = theatre.tracks(modes)
    for panel in range(panels):
        for turn in range(len(tracks)):
            track = tracks[(panel + turn) % len(tracks)]
            done = panel * len(tracks) + turn
            progress(done, panels * len(tracks), f"panel {panel + 1}, {track.mode.name}")
            track.advance(meter)
    return {track.mode.name: track for track in tracks}


def check(scale: Scale, theatre: Theatre, tracks: dict[str, Track]) -> list[Finding]:
    """What told stories must say, in the dtype of ``scale``."""
    if not scale.exact:
        kinds = [track for track in tracks.values() if track.mode.reference]
        told = [track for track in kinds if not track.mode.given]
        return [agreement(theatre, track, track.mode.merged) for track in told]
    found = invariants.same_as_baseline(tracks, scale.dtype)
    for name in [name for name in READ_AT_ONCE if name in tracks]:
        found += invariants.as_read_at_once(theatre, tracks[name], scale.dtype)
    if "sink" in tracks:
        meter = Meter(theatre.stage.device)
        found += invariants.wide_sink(theatre, meter, scale.dtype)
    return found


def _in_fp64(
    scale: Scale,
    weights: Weights,
    tracks: dict[str, Track],
    options: Options,
    progress: Progress,
) -> list[Finding]:
    """The same checks on the same weights in fp64, told anew by all modes that are compared."""
    told = len(next(iter(tracks.values())).costs)
    panels = told if options.checked is None else min(told, options.checked)
    if not panels:
        return []
    precise = Weights(
        copy.deepcopy(weights.mllm).double(),
        {
            name: replace(
                adapted,
                base=adapted.base.double(),
                down=adapted.down.double(),
                up=adapted.up.double(),
            )
            for name, adapted in weights.adapted.items()
        },
    )
    modes = [
        track.mode
        for track in tracks.values()
        if track.mode.same or track.mode.reference or track.mode.name in READ_AT_ONCE
    ]
    wide = replace(scale, dtype="float64")
    theatre = _theatre(wide, precise, panels, options)
    device = theatre.stage.device

    def relay(done: int, total: int, note: str = "") -> None:
        progress(done, total, f"fp64: {note}")

    return check(wide, theatre, tell_in_turn(theatre, modes, panels, device, relay))


def _theatre(scale: Scale, weights: Weights, panels: int, options: Options) -> Theatre:
    return Theatre(make_stage(scale.config, weights, panels, options.words, options.seed))


def _figures(theatre: Theatre, tracks: dict[str, Track], bandwidth: float | None) -> dict[str, Any]:
    """Every mode's summary, and what needs more than its costs."""
    figures = {
        name: summarize(track.mode, track.costs, tracks[track.mode.baseline].costs)
        for name, track in tracks.items()
    }
    for name, track in tracks.items():
        if bandwidth is not None:
            share = decode_share(track.costs, *track.read_bytes(), bandwidth, track.stage.length)
            figures[name]["share_of_copy_bandwidth"] = share
        if track.mode.form:
            figures[name]["feature_cosine"] = feature_cosine(theatre.stage, track.stage)
    return figures


def _device(scale: Scale) -> torch.device:
    if scale.device == "cuda" and not torch.cuda.is_available():
        raise SeedStoryError(
            f"The scale {scale.name!r} needs a CUDA device: 7 billion weights take about 28 GB of "
            "its memory, merged and unmerged, and hours on a CPU. Use --scale small here."
        )
    return torch.device(scale.device)


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """On a CPU all work is done by the measuring thread, so that its time is all that is spent."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
