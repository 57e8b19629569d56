"""``seedstory tell --futures N``: folders that are whole stories, stopped and taken up again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seedstory_core.babble import make_world
from seedstory_core.cli import main
from seedstory_core.cli.tell import SOLVERS as CHOICES
from seedstory_core.futures import future_seed
from seedstory_core.painter import SOLVERS
from seedstory_core.story_store import load_story
from seedstory_core.types import Story

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("worlds") / "babble").root


@pytest.fixture()
def out(tmp_path: Path) -> Path:
    return tmp_path / "tale"


def tell(world: Path, out: Path, *args: object) -> int:
    return main(["tell", "--world", str(world), "--out", str(out), *map(str, args)])


def futures(out: Path) -> list[Story]:
    return [load_story(folder) for folder in sorted(out.glob("future-*"))]


def uids(story: Story) -> list[str]:
    return [panel.uid for panel in story.panels]


def test_futures_are_whole_stories(
    world: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tell(world, out, "--futures", 3, "--panels", 2, "--steps", 1, "--at-once", 0) == 0
    text = capsys.readouterr().out
    assert "Telling 6/6" in text and "Painting 6/6" in text
    stories = futures(out)
    names = [folder.name for folder in sorted(out.glob("future-*"))]
    assert names == [f"future-{i}" for i in (1, 2, 3)]
    assert [story.run for story in stories] == [f"tale-future-{i}" for i in (1, 2, 3)]
    assert all(p.image is not None for story in stories for p in story.panels)
    assert all((out / f"future-{i}" / "index.html").is_file() for i in (1, 2, 3))
    assert len({story.panels[-1].uid for story in stories}) == 3
    assert stories[1].panels[2].seed == future_seed(0, 1) + 2
    assert tell(world, tmp_path / "alone", "--panels", 2, "--no-paint") == 0
    assert uids(load_story(tmp_path / "alone")) == uids(stories[0]), "the first is tell's own"


def test_futures_may_share_panels(world: Path, out: Path, tmp_path: Path) -> None:
    how = ("--futures", 2, "--panels", 3, "--fork-at", 2, "--no-paint")
    assert tell(world, out, *how) == 0
    one, two = futures(out)
    assert uids(one)[:3] == uids(two)[:3] and uids(one)[3] != uids(two)[3]
    assert [p.seed for p in two.panels] == [None, 1, 2, future_seed(0, 1) + 3]
    assert tell(world, tmp_path / "alone", "--panels", 3, "--no-paint") == 0
    assert uids(load_story(tmp_path / "alone")) == uids(one)
    assert tell(world, out, "--futures", 3, *how[2:]) == 0, "one more, the others as they are"
    assert [uids(story) for story in futures(out)[:2]] == [uids(one), uids(two)]
    assert tell(world, out, *how[:4], "--fork-at", 1, "--no-paint") == 2, "another fork"


def test_stopped_and_taken_up(world: Path, out: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    args = ["--world", world, "--out", out, "--futures", 2, "--panels", 400, "--no-paint"]
    run = subprocess.Popen(
        [sys.executable, "-m", "seedstory_core", "tell", *map(str, args)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
    )  # fmt: skip
    assert run.stdout is not None
    assert any(line.startswith("Telling 5/800") for line in run.stdout)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=300)
    assert run.returncode == 130 and "Traceback" not in errors
    told = [len(story) - 1 for story in futures(out)]
    assert sum(told) >= 5 and f"{sum(told)} of 800 panels are told" in errors
    panels = max(told) + 1
    straight = tmp_path / "straight"
    assert tell(world, out, "--futures", 2, "--panels", panels, "--no-paint") == 0
    assert tell(world, straight, "--futures", 2, "--panels", panels, "--no-paint") == 0
    for got, want in zip(futures(out), futures(straight), strict=True):
        assert uids(got) == uids(want) and len(got) == panels + 1
        for ours, theirs in zip(got.panels, want.panels, strict=True):
            for space, features in theirs.features.items():
                torch.testing.assert_close(ours.features[space], features, atol=1e-4, rtol=0)


BAD = [
    (("--futures", 0), "--futures is 1 to"),
    (("--futures", 99), "--futures is 1 to"),
    (("--fork-at", 1), "add --futures"),
    (("--futures", 2, "--fork-at", 9, "--panels", 3), "--fork-at is 0 to 3"),
    (("--futures", 2, "--fork-at", 3, "--panels", 3), "would be the same in every future"),
    (("--futures", 2, "--temperature", 0), "would be the same story"),
    (("--futures", 2, "--reference"), "one story at a time"),
]


@pytest.mark.parametrize(("args", "message"), BAD, ids=[" ".join(map(str, a)) for a, _ in BAD])
def test_bad_wishes_are_refused(
    world: Path, out: Path, args: tuple, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tell(world, out, *args) == 2
    assert message in capsys.readouterr().err


def test_every_solver_of_the_painter_can_be_asked_for(world: Path, out: Path) -> None:
    assert tuple(SOLVERS) == CHOICES
    args = ("--panels", 1, "--steps", 2, "--solver", "dpmpp_2m", "--guided", 0.5)
    assert tell(world, out, *args) == 0
    paint = load_story(out).panels[1].provenance["paint"]
    assert isinstance(paint, dict) and paint["guidance_until"] == 0.5
    assert paint["sampler"] == "diffusers DPMSolverMultistepScheduler"


def test_a_story_is_not_mistaken_for_futures(
    world: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tell(world, out, "--panels", 1, "--no-paint") == 0
    assert tell(world, out, "--futures", 2, "--panels", 1, "--no-paint") == 2
    assert "holds a story of its own" in capsys.readouterr().err
