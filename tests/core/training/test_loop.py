"""The loop: stopped anywhere, it goes on to the same weights."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.toy_stage import SETTINGS, ToyStage

from seedstory_core.errors import SeedStoryError
from seedstory_core.ops import torch_ops
from seedstory_core.training import checkpoint
from seedstory_core.training.learner import Learner, lr_at
from seedstory_core.training.loop import CHECKPOINTS, finish, train
from seedstory_core.training.metrics import read_metrics
from seedstory_core.training.recipe import StageSettings

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The result of a run that nobody disturbed."""
    (path,) = train(ToyStage(), SETTINGS, tmp_path_factory.mktemp("straight"), cpu=True)
    return path.read_bytes()


def start(folder: Path) -> subprocess.Popen[bytes]:
    """The toy training in a process of its own, at its second checkpoint."""
    command = [sys.executable, "-m", "support.toy_stage", str(folder)]
    paths = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONPATH": paths})
    deadline = time.monotonic() + 120
    while not (folder / CHECKPOINTS / "0000010").is_dir():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    return process


def test_killed_and_resumed_ends_with_the_same_bytes(tmp_path: Path, straight: bytes) -> None:
    process = start(tmp_path)
    time.sleep(0.1)  # somewhere behind it
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "toy.safetensors").exists()
    (path,) = train(ToyStage(), SETTINGS, tmp_path, cpu=True)
    assert path.read_bytes() == straight
    steps = [line["step"] for line in read_metrics(tmp_path) if "loss" in line]
    assert steps == sorted(set(steps)) and steps[-1] == SETTINGS.steps


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_within_one_step(
    tmp_path: Path, straight: bytes, number: signal.Signals
) -> None:
    process = start(tmp_path)
    process.send_signal(number)
    assert process.wait(timeout=120) != 0
    newest = checkpoint.newest(tmp_path / CHECKPOINTS)
    assert newest is not None
    logged = read_metrics(tmp_path)[-1]["step"]
    assert int(newest.name) == logged < SETTINGS.steps
    (path,) = train(ToyStage(), SETTINGS, tmp_path, cpu=True)
    assert path.read_bytes() == straight


def test_stopping_early_and_going_on_changes_nothing(tmp_path: Path, straight: bytes) -> None:
    for steps in (1, 7, 10):
        assert train(ToyStage(), SETTINGS, tmp_path, max_steps=steps, cpu=True) == []
        newest = checkpoint.newest(tmp_path / CHECKPOINTS)
        assert newest is not None and int(newest.name) == steps
    (path,) = train(ToyStage(), SETTINGS, tmp_path, cpu=True)
    assert path.read_bytes() == straight


def test_a_time_limit_stops_with_a_checkpoint(tmp_path: Path) -> None:
    assert train(ToyStage(pause=0.05), SETTINGS, tmp_path, time_limit=0.3, cpu=True) == []
    newest = checkpoint.newest(tmp_path / CHECKPOINTS)
    assert newest is not None and 1 <= int(newest.name) < 20


def test_progress_can_stop_it(tmp_path: Path, straight: bytes) -> None:
    class Enough(Exception):
        pass

    def progress(done: int, total: int, note: str) -> None:
        assert total == SETTINGS.steps and "left" in note
        if done == 13:
            raise Enough

    with pytest.raises(Enough):
        train(ToyStage(), SETTINGS, tmp_path, progress=progress, cpu=True)
    newest = checkpoint.newest(tmp_path / CHECKPOINTS)
    assert newest is not None and int(newest.name) == 13
    (path,) = train(ToyStage(), SETTINGS, tmp_path, cpu=True)
    assert path.read_bytes() == straight


def test_finish_writes_the_averages_of_the_newest_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(SeedStoryError, match="no checkpoint"):
        finish(ToyStage(), SETTINGS, tmp_path, cpu=True)
    train(ToyStage(), SETTINGS, tmp_path, max_steps=12, cpu=True)
    (path,) = finish(ToyStage(), SETTINGS, tmp_path, cpu=True)
    newest = checkpoint.newest(tmp_path / CHECKPOINTS)
    assert newest is not None
    averages, written = load_file(newest / "ema.safetensors"), load_file(path)
    trained = load_file(newest / "model.safetensors")
    assert torch.equal(written["net.0.weight"], averages["net.0.weight"])
    assert not torch.equal(written["net.0.weight"], trained["net.0.weight"])
    assert "frozen.weight" in written and "frozen.weight" not in trained


def test_an_older_run_is_not_written_over(tmp_path: Path) -> None:
    train(ToyStage(), SETTINGS, tmp_path, max_steps=2, cpu=True)
    with pytest.raises(SeedStoryError, match="--resume"):
        train(ToyStage(), SETTINGS, tmp_path, resume=False, cpu=True)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    train(ToyStage(), SETTINGS, tmp_path, max_steps=2, cpu=True)
    other = ToyStage()
    other.module.net[0] = torch_ops.Linear(6, 16, bias=False)
    with pytest.raises(SeedStoryError, match="does not fit the recipe"):
        train(other, SETTINGS, tmp_path, cpu=True)


def test_accumulating_halves_learns_what_the_whole_batch_does() -> None:
    def weights(settings: StageSettings) -> torch.Tensor:
        stage = ToyStage(settings)
        stage.module.net[2] = torch.nn.Identity()  # dropout would draw twice
        learner = Learner(stage, settings, cpu=True)
        for step in range(6):
            learner.step(step)
        return stage.module.net[0].weight.detach()

    whole, halves = weights(SETTINGS), weights(replace(SETTINGS, accumulate=2))
    # Adam divides each gradient by its size, so its 6 steps of 0.01 are off by relative rounding:
    # 1e-5 for a gradient a hundred times smaller than the summands.
    assert torch.allclose(whole, halves, atol=1e-5)
    assert not torch.allclose(whole, weights(replace(SETTINGS, seed=1)), atol=1e-2)


def test_averages_follow_their_law() -> None:
    learner = Learner(ToyStage(), SETTINGS, cpu=True)
    expected = learner.trained[0].detach().clone()
    for step in range(8):
        learner.step(step)
        decay = min(SETTINGS.ema, (step + 1) / (step + 20))
        expected = decay * expected + (1 - decay) * learner.trained[0].detach()
    assert torch.allclose(learner.ema[0], expected, atol=1e-6)  # 8 sums of weights below 1, fp32
    before = learner.trained[0].detach().clone()
    with learner.averaged():
        assert torch.equal(learner.trained[0], learner.ema[0])
    assert torch.equal(learner.trained[0], before)


def test_no_averages_means_the_weights_themselves(tmp_path: Path) -> None:
    settings = replace(SETTINGS, ema=0.0, steps=3)
    (path,) = train(ToyStage(settings), settings, tmp_path, cpu=True)
    kept = load_file(tmp_path / CHECKPOINTS / "0000003" / "model.safetensors")
    assert torch.equal(load_file(path)["net.0.weight"], kept["net.0.weight"])


def test_the_rate_rises_and_falls_as_in_the_specification() -> None:
    settings = StageSettings(6000, 1, lr=1e-4, warmup=100, min_lr_share=0.05)
    assert lr_at(0, settings) == 0 and lr_at(50, settings) == pytest.approx(5e-5)
    assert lr_at(100, settings) == pytest.approx(1e-4)
    assert lr_at(3050, settings) == pytest.approx(0.525e-4)
    assert lr_at(6000, settings) == pytest.approx(0.05e-4)


def test_a_loss_that_is_no_number_stops_without_a_checkpoint(tmp_path: Path) -> None:
    settings = replace(SETTINGS, lr=1e12, clip=0.0, warmup=0)
    with pytest.raises(SeedStoryError, match="diverged"):
        train(ToyStage(settings), settings, tmp_path, cpu=True)
    newest = checkpoint.newest(tmp_path / CHECKPOINTS)
    assert newest is None or int(newest.name) < 10


def test_loss_falls_and_is_logged(tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=200)
    train(ToyStage(settings), settings, tmp_path, cpu=True)
    lines = [line for line in read_metrics(tmp_path) if "loss" in line]
    assert lines[-1]["loss"] < 0.3 * lines[0]["loss"]  # with 2 seeds 0.08, of the held-out 0.12
    assert {"step", "loss", "size", "lr", "samples_per_second", "seconds"} <= lines[-1].keys()
    held_out = [line["held_out"] for line in read_metrics(tmp_path) if "held_out" in line]
    assert held_out[-1] < held_out[0]


def test_without_a_compiler_training_goes_on(
    tmp_path: Path,
    straight: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("PATH", "")
    settings = replace(SETTINGS, options={"compile": True})
    (path,) = train(ToyStage(settings), settings, tmp_path, cpu=True)
    assert "without torch.compile" in caplog.text and path.read_bytes() == straight
