"""A tiny run: what it promises about counts and invariants, never about times."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from seedstory_core.bench import run as bench_run
from seedstory_core.bench.invariants import as_read_at_once, compare, counts, wide_sink
from seedstory_core.bench.meter import Meter
from seedstory_core.bench.modes import MODES
from seedstory_core.bench.report import broken, markdown
from seedstory_core.bench.run import Options, bench, tell_in_turn
from seedstory_core.bench.sizes import SCALES
from seedstory_core.bench.stage import make_stage
from seedstory_core.bench.tracks import Theatre
from seedstory_core.bench.weights import random_weights
from seedstory_core.cli import main
from seedstory_core.context import Block, MultimodalSink, Window
from seedstory_core.errors import SeedStoryError
from seedstory_core.types import Story

PANELS, WORDS = 12, 3
SLOTS = 64
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    """One run of the modes that are compared with the reference."""
    modes = ("ref", "fused", "exact", "block", "sink", "given", "graph", "int8", "int4")
    return bench(Options("tiny", PANELS, modes, WORDS, checked=2))


def panels(result: dict[str, Any], mode: str, column: str) -> list[int]:
    return result["modes"][mode]["panels"][column]


def test_the_reference_takes_a_forward_for_each_word_and_slot(result: dict[str, Any]) -> None:
    forwards = 1 + WORDS + 1 + SLOTS
    assert panels(result, "ref", "forwards") == [forwards] * PANELS
    assert panels(result, "ref_merged", "forwards") == [forwards] * PANELS
    assert panels(result, "ref_given", "forwards") == [2 + SLOTS] * PANELS
    prompts = [1 + 12 + (SLOTS + 2) + panel * (WORDS + SLOTS + 2) for panel in range(8)]
    said = WORDS + 1 + SLOTS
    assert panels(result, "ref", "tokens")[:8] == [rows + said for rows in prompts]


def test_ours_takes_one_for_each_word_and_one_for_the_picture(result: dict[str, Any]) -> None:
    for mode in ("fused", "exact"):
        assert panels(result, mode, "forwards") == [WORDS + 2] * PANELS
        assert panels(result, mode, "head_rows") == [WORDS + 1] * PANELS
    assert panels(result, "given", "forwards") == [1] * PANELS


def test_kept_kv_reads_only_what_is_new(result: dict[str, Any]) -> None:
    new = SLOTS + 1 + WORDS + 1 + SLOTS
    assert panels(result, "exact", "tokens")[1:8] == [new] * 7
    assert panels(result, "fused", "tokens") == panels(result, "ref", "tokens")
    assert panels(result, "exact", "kv_rows") == panels(result, "ref", "kv_rows")


def test_all_invariants_hold_in_both_precisions(result: dict[str, Any]) -> None:
    assert broken(result) == []
    names = {item["name"] for item in result["invariants"]}
    for mode in ("ref", "fused", "exact"):
        for dtype in ("float32", "float64"):
            assert f"{mode} = ref_merged ({dtype}): ids" in names
        for mode in ("block = fresh re-encode of its window", "sink = its rows kept in"):
            assert any(mode in name and "float64" in name for name in names)
    assert "given = ref_given (float32): features" in names


def test_futures_told_together_share_their_forwards(result: dict[str, Any]) -> None:
    futures = result["futures"]
    assert futures["forwards"] == {"one by one": WORDS + 2, "together": pytest.approx(5 / 8, 0.5)}
    names = {item["name"] for item in result["invariants"]}
    assert "futures together = one by one (float32): ids" in names
    assert "8 futures of 4 panels" in markdown(result)


def test_modes_for_a_gpu_say_why_they_are_missing(result: dict[str, Any]) -> None:
    assert set(result["lacking"]) == {"graph", "int8", "int4"}
    assert all("needs CUDA" in why for why in result["lacking"].values())
    assert "graph: not run (needs CUDA" in markdown(result)


def test_the_figures_are_json_with_a_version_and_a_machine(result: dict[str, Any]) -> None:
    read = json.loads(json.dumps(result, allow_nan=False))
    assert (read["format"], read["version"]) == ("seedstory-bench", 1)
    assert read["machine"]["torch"] == torch.__version__
    assert {"transformers", "processor", "cores", "load"} <= read["machine"].keys()
    figures = read["modes"]["exact"]
    assert set(figures["ms"]["steady"]) >= {"median", "p90", "prefill", "decode", "forced"}
    assert figures["ratio"]["filling"] > 0
    assert set(figures["kv"]) == {"1", "8"}
    assert read["loading"]["dtypes"]["float16"]["ratio"] > 0


@pytest.fixture(scope="module")
def theatre() -> Theatre:
    weights = random_weights(SCALES["tiny"].config, CPU, torch.float32, 0)
    return Theatre(make_stage(SCALES["tiny"].config, weights, 12, WORDS, 0))


def test_a_block_reads_anew_only_when_it_slides_and_what_a_fresh_reader_would(
    theatre: Theatre,
) -> None:
    mode = replace(MODES["block"], policy=Block(3, 2))
    track = tell_in_turn(theatre, [mode], 8, CPU)["block"]
    new = SLOTS + 1 + WORDS + 1 + SLOTS
    dear = [panel for panel, cost in enumerate(track.costs, start=1) if cost.tokens > new]
    assert dear == [1, 4, 6, 8]
    assert all(cost.forwards == WORDS + 2 for cost in track.costs)
    assert all(finding.held for finding in as_read_at_once(theatre, track, "float32"))


def test_a_capped_sinks_memory_is_constant(theatre: Theatre) -> None:
    mode = replace(MODES["sink"], policy=MultimodalSink(window=2, cap=2))
    track = tell_in_turn(theatre, [mode], 9, CPU)["sink"]
    found = {finding.name: finding for finding in counts({"sink": track})}
    assert found["sink: KV constant from panel 7 on"].held
    assert all(finding.held for finding in found.values())


def test_a_sink_that_loses_nothing_is_dense(theatre: Theatre) -> None:
    assert all(finding.held for finding in wide_sink(theatre, Meter(CPU), "float32"))


def test_a_given_caption_takes_one_forward_with_a_sink_too(theatre: Theatre) -> None:
    policy = MultimodalSink(window=2, cap=1)
    mode = replace(MODES["given_sink"], policy=policy)
    track = tell_in_turn(theatre, [mode], 5, CPU)["given_sink"]
    assert [cost.forwards for cost in track.costs] == [1] * 5
    assert all(finding.held for finding in as_read_at_once(theatre, track, "float32"))


@pytest.mark.parametrize("cap", [0, 1, 2])
def test_a_sink_says_what_transformers_says_from_the_scripts_rows(
    theatre: Theatre, cap: int
) -> None:
    mode = replace(MODES["sink"], policy=MultimodalSink(window=2, cap=cap))
    track = tell_in_turn(theatre, [mode], 8, CPU)["sink"]
    found = as_read_at_once(theatre, track, "float32")
    assert [finding.held for finding in found] == [True, True], found


def test_a_sink_that_keeps_other_rows_is_found(theatre: Theatre) -> None:
    """Or agreeing with transformers would say nothing about which rows stay."""
    told = MultimodalSink(window=1, cap=2, from_begin=7)
    track = tell_in_turn(theatre, [replace(MODES["sink"], policy=told)], 6, CPU)["sink"]
    ids, features = as_read_at_once(theatre, track, "float32")
    assert not features.held, (ids, features)


def test_a_mode_that_leaves_rows_out_is_found(theatre: Theatre) -> None:
    modes = [MODES[name] for name in ("ref_merged", "fused", "exact")]
    tracks = tell_in_turn(theatre, modes, 3, CPU)
    assert all(finding.held for finding in counts(tracks))
    tracks["fused"].costs[1].tokens -= 1
    tracks["exact"].costs[2].kv_rows -= 1
    assert [f.name for f in counts(tracks) if not f.held] == [
        "fused: holds and reads as many rows as ref_merged",
        "exact: holds as many rows as ref_merged",
    ]


def test_other_ids_and_other_features_are_found(theatre: Theatre) -> None:
    track = tell_in_turn(theatre, [MODES["exact"]], 2, CPU)["exact"]
    told = track.story.panels[1:]
    ids = replace(told[1], token_ids=(7, *told[1].token_ids[1:]))
    found = compare("x", told, (told[0], ids))
    assert [finding.held for finding in found] == [False, True]
    assert "panel 2" in found[0].seen
    moved = {space: features + 1e-3 for space, features in told[0].features.items()}
    found = compare("x", told, (replace(told[0], features=moved), told[1]))
    assert [finding.held for finding in found] == [True, False]


def test_other_forwards_and_growing_memory_are_found(theatre: Theatre) -> None:
    mode = replace(MODES["sink"], policy=MultimodalSink(window=1, cap=1))
    track = tell_in_turn(theatre, [mode], 6, CPU)["sink"]
    track.costs[-1].forwards += 1
    track.costs[-1].kv_rows += 1
    assert [finding.held for finding in counts({"sink": track})] == [False, False]


def test_a_broken_invariant_is_named_and_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], result: dict[str, Any]
) -> None:
    bad = {"name": "exact: forwards a panel <= 5", "held": False, "seen": "70 at most"}
    monkeypatch.setattr(bench_run, "bench", lambda *_: {**result, "invariants": [bad]})
    assert main(["bench", "--scale", "tiny"]) == 1
    assert "exact: forwards a panel <= 5: 70 at most" in capsys.readouterr().err


def test_the_command_writes_and_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], result: dict[str, Any],
    tmp_path: Any,
) -> None:  # fmt: skip
    monkeypatch.setattr(bench_run, "bench", lambda *_: result)
    assert main(["bench", "--json", str(tmp_path / "out.json")]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["version"] == 1
    assert "**invariants**" in capsys.readouterr().out


def test_the_full_size_refuses_without_cuda(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["bench", "--scale", "full"]) == 2
    assert "needs a CUDA device" in capsys.readouterr().err


def test_unknown_modes_and_empty_stories_are_refused() -> None:
    with pytest.raises(SeedStoryError, match="no mode 'fast'"):
        bench(Options(modes=("fast",)))
    with pytest.raises(SeedStoryError, match="at least 1 panel"):
        Options(panels=0)


def test_a_run_stops_where_its_progress_raises() -> None:
    def stop(done: int, total: int, note: str = "") -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        bench(Options("tiny", 1, ("given",), 1), stop)


def test_every_mode_tells_of_the_same_opening(theatre: Theatre) -> None:
    stories: list[Story] = [track.story for track in theatre.tracks([MODES["exact"], MODES["ref"]])]
    assert stories[0] is stories[1] is theatre.stage.opening
    assert MODES["exact"].policy == Window(8)
