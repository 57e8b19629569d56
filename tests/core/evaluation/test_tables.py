"""A whole judgement of a tiny world: JSON, tables, sheets, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from seedstory_core.cli import main
from seedstory_core.context import Block, Dense, MultimodalSink, Window
from seedstory_core.errors import SeedStoryError
from seedstory_core.evaluation.evaluate import POLICIES, Judge, Request, evaluate, policy_name
from seedstory_core.evaluation.judge import ROWS
from seedstory_core.evaluation.sheets import write_sheets
from seedstory_core.evaluation.tables import TITLES, markdown
from seedstory_core.types import PaintSettings
from seedstory_core.world import World

SOME = (POLICIES[0], POLICIES[2])


@pytest.fixture()
def quick(judge: Judge) -> Judge:
    judge.painter = replace(judge.painter, settings=PaintSettings(steps=1, guidance=1.0))
    return judge


def test_a_judgement_has_all_rows_and_lengths(quick: Judge, tmp_path: Path) -> None:
    request = Request(stories=2, panels=2, lengths=(1, 2), policies=SOME)
    heard: list[str] = []

    def listen(name: str, stories: object) -> None:
        heard.append(name)

    result = evaluate(quick, request, audience=listen)
    assert json.loads(json.dumps(result)) == result
    assert heard == [run["name"] for run in result["runs"]] and len(set(heard)) == 4
    for run in result["runs"]:
        assert run["judged"] == run["lengths"]["2"]["all_right"]["count"] == 4
        assert run["lengths"]["1"]["all_right"]["count"] == 2
        assert set(run["lengths"]["2"]) <= set(ROWS)
        share = run["lengths"]["2"]["grammatical"]
        assert share["value"] == 0 and share["wilson_high"] < 0.6
    assert set(result["given"]) == set(TITLES)
    assert set(result["script_minus_true_features"]) <= set(ROWS)
    assert 0 <= result["vae_exact_pixels"] <= 1
    text = markdown(result)
    assert "## Told stories, 1 panels" in text and "sink-8-16-reindexed, sampled" in text
    assert all(title in text for title in TITLES.values())
    lines = [line for line in text.splitlines() if line.startswith("| captions grammatical")]
    assert "| 99 | < 0.0 (" in lines[0]


def test_requests_are_checked() -> None:
    for wrong in ({"stories": 0}, {"panels": 0}, {"lengths": (30,)}, {"samplings": ("loud",)}):
        with pytest.raises(SeedStoryError):
            Request(**wrong)  # type: ignore[arg-type]
    with pytest.raises(SeedStoryError, match="a policy"):
        Request(policies=())
    policies = (Window(4), Dense(), Block(), MultimodalSink(cap=3), MultimodalSink(first=9))
    assert [policy_name(policy) for policy in policies] == [
        "window-4", "dense", "block-8-4", "sink-8-3-reindexed", "sink-8-16-reindexed-first9"
    ]  # fmt: skip


def test_sheets_show_every_panel(quick: Judge, tmp_path: Path) -> None:
    request = Request(stories=2, panels=6, samplings=("greedy",), script=False, references=False)
    files: list[Path] = []
    evaluate(quick, request, audience=lambda n, told: files.extend(write_sheets(tmp_path, told, n)))
    assert [path.name for path in files] == [f"told-window-8-greedy-0{i}.png" for i in (0, 1)]
    with Image.open(files[0]) as page:
        assert page.width >= 5 * 256 and page.height >= 2 * 256


def test_the_command(world: World, raw_probes: Path, tmp_path: Path) -> None:
    shown = tmp_path / "out"
    words = ["evaluate", "--world", str(world.root), "--probes", str(raw_probes), "--stories", "1"]
    words += ["--panels", "2", "--lengths", "1,2", "--sampling", "greedy", "--no-references"]
    files = ["--json", str(shown / "a.json"), "--table", str(shown / "a.md")]
    kept = ["--keep", str(shown / "kept"), "--sheets", str(shown / "sheets")]
    assert main([*words, *files, *kept]) == 0
    result = json.loads((shown / "a.json").read_text())
    assert result["runs"][0]["lengths"].keys() == {"1", "2"} and set(result["given"]) == {"script"}
    assert (shown / "a.md").read_text().startswith("# World babble")
    assert len(list((shown / "sheets").iterdir())) == 1
    told = sorted((shown / "kept").rglob("*.safetensors"))
    stamps = [path.stat().st_mtime_ns for path in told]
    assert len(told) == 2 and main([*words, *files, *kept]) == 0
    assert [path.stat().st_mtime_ns for path in told] == stamps
    again = json.loads((shown / "a.json").read_text())
    assert again["runs"][0]["lengths"] == result["runs"][0]["lengths"]


def test_mistakes_are_told(
    world: World, raw_probes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--world", str(world.root), "--probes", str(raw_probes)]
    for wrong, message in (
        (["--policy", "wide"], "window[:SIZE]"),
        (["--lengths", "ten"], "whole numbers"),
        (["--stories", "0"], "1 to 10000"),
        (["--sampling", "loud"], "samplings"),
        (["--probes", "nowhere.safetensors"], "no probes"),
    ):
        assert main([*words, *wrong]) == 2
        assert message in capsys.readouterr().err
