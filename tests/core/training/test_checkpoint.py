"""Checkpoints are whole or absent."""

import errno
import json
from pathlib import Path

import pytest
import torch

from seedstory_core.errors import SeedStoryError
from seedstory_core.training import checkpoint

TENSORS = {"model": {"weight": torch.arange(6.0)}, "ema": {"weight": torch.zeros(6)}}


def test_the_last_two_are_kept_and_read_back(tmp_path: Path) -> None:
    for step in (1, 2, 3, 10):
        checkpoint.save(tmp_path, step, TENSORS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000003", "0000010"]
    newest = checkpoint.newest(tmp_path)
    assert newest is not None
    step, tensors = checkpoint.read(newest)
    assert step == 10 and torch.equal(tensors["model"]["weight"], torch.arange(6.0))


def test_one_that_failed_leaves_the_older_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.save(tmp_path, 1, TENSORS)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(SeedStoryError, match="Disk full"):
        checkpoint.save(tmp_path, 2, TENSORS)
    assert [path.name for path in tmp_path.iterdir()] == ["0000001"]


def test_what_a_killed_run_left_is_swept_and_never_read(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, TENSORS)
    half = tmp_path / ".0000002.0123abcd.part"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    newest = checkpoint.newest(tmp_path)
    assert newest is not None and newest.name == "0000001"
    checkpoint.sweep(tmp_path)
    assert not half.exists()


@pytest.mark.parametrize("harm", ["short", "missing", "state", "nonsense"])
def test_a_damaged_one_is_passed_over(tmp_path: Path, harm: str) -> None:
    checkpoint.save(tmp_path, 1, TENSORS)
    newer = checkpoint.save(tmp_path, 2, TENSORS)
    if harm == "short":
        data = (newer / "model.safetensors").read_bytes()
        (newer / "model.safetensors").write_bytes(data[:-3])
    elif harm == "missing":
        (newer / "ema.safetensors").unlink()
    else:
        text = "{" if harm == "state" else json.dumps({"step": "2", "files": [1]})
        (newer / checkpoint.STATE).write_text(text)
    newest = checkpoint.newest(tmp_path)
    assert newest is not None and newest.name == "0000001"


def test_shared_memory_is_saved_as_copies(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    path = checkpoint.save(tmp_path, 1, {"model": {"a": shared, "b": shared, "t": shared[::2]}})
    _, tensors = checkpoint.read(path)
    assert torch.equal(tensors["model"]["b"], shared)
    assert torch.equal(tensors["model"]["t"], torch.tensor([0.0, 2.0]))
