"""``train adapt`` as a command: the plan first, refusals before anything begins, the world."""

from pathlib import Path

import pytest

from seedstory_core.__main__ import main
from seedstory_core.cli import train_adapt
from seedstory_core.machine import Machine
from seedstory_core.picture_world.guest import write_guest
from seedstory_core.world import World, load_world

SMALL = "--steps 4 --paint-steps 2 --draw-steps 2 --batch 2 --paint-batch 2 --window 3".split()
SMALL += "--rank 2 --replay 4".split()


@pytest.fixture
def command(tiny_world: World, tmp_path: Path) -> list[str]:
    write_guest(tmp_path / "olive", 10)
    folders = ["--base", str(tiny_world.root), "--data", str(tmp_path / "olive")]
    out = ["--out", str(tmp_path / "new"), "--device", "cpu"]
    return ["train", "adapt", *folders, *out, *SMALL]


def test_a_dry_run_prints_the_plan_and_leaves_nothing(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    before = sorted(tmp_path.rglob("*"))
    assert main([*command, "--dry-run"]) == 0
    said = capsys.readouterr().out
    for word in (
        "10 pictures",
        "LLM",
        "de-tokenizer",
        "VAE decoder",
        "gradients",
        "optimiser",
        "in all",
    ):
        assert word in said
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command_makes_a_world_and_takes_its_run_folder_away(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main([*command, "--max-steps", "1"]) == 0
    assert (tmp_path / "new-training").is_dir() and not (tmp_path / "new").exists()
    assert "goes on" in capsys.readouterr().out
    assert main(command) == 0
    assert load_world(tmp_path / "new").provenance["settings"]["rank"] == 2
    assert not (tmp_path / "new-training").exists()
    assert main(command) != 0  # the world is there now
    assert "exists already" in capsys.readouterr().err


def test_what_does_not_fit_is_not_begun(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    tight = Machine(ram=1 << 20, vram=0, gpu="", disk=1 << 40, cores=1)
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls, models: tight))
    assert main(command) != 0
    said = capsys.readouterr().err
    assert "needs about" in said and "--yes" in said
    assert not (tmp_path / "new-training").exists()
    assert main([*command, "--dry-run"]) == 1


def test_options_are_the_settings(command: list[str]):
    import argparse

    parser = argparse.ArgumentParser()
    train_adapt.add_parser(parser.add_subparsers())
    args = parser.parse_args([*command[1:], "--also", "norms", "--keys-only", "--share", "0.25"])
    settings = train_adapt.settings_of(args)
    assert (settings.rank, settings.share, settings.also) == (2, 0.25, ("norms",))
    assert not settings.whole_detokenizer and settings.frugal is None
