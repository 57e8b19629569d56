"""Checkpoints of every form are read alike; damaged, foreign and malicious ones are refused."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from seedstory_core.errors import SeedStoryError
from seedstory_core.weights.reader import open_checkpoint

STATE = {
    "a.weight": torch.arange(6.0).view(2, 3),
    "b.weight": torch.ones(4, dtype=torch.float16),
    "c.weight": torch.tensor([1.5, -2.5], dtype=torch.bfloat16),
    "d.count": torch.tensor(7),
}


def halves(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    keys = list(state)
    return {k: state[k] for k in keys[:2]}, {k: state[k] for k in keys[2:]}


def sharded(folder: Path, suffix: str, save: Callable[[dict[str, Tensor], Path], object]) -> Path:
    where = {}
    for number, part in enumerate(halves(STATE), start=1):
        name = f"model-{number}-of-2.{suffix}"
        save(part, folder / name)
        where |= {key: name for key in part}
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    index = folder / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return index


def written(form: str, folder: Path) -> Path:
    if form == "safetensors":
        save_file(STATE, folder / "m.safetensors")
        return folder / "m.safetensors"
    if form == "bin":
        torch.save(STATE, folder / "m.bin")
        return folder / "m.bin"
    if form == "old pickle":
        torch.save(STATE, folder / "m.pt", _use_new_zipfile_serialization=False)
        return folder / "m.pt"
    if form == "wrapped":
        torch.save({"module": STATE, "step": 3}, folder / "m.pt")
        return folder / "m.pt"
    if form == "sharded safetensors":
        return sharded(folder, "safetensors", save_file)
    return sharded(folder, "bin", lambda part, path: torch.save(part, path))


FORMS = ["safetensors", "bin", "old pickle", "wrapped", "sharded safetensors", "sharded bin"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("by_folder", [False, True])
def test_every_form_gives_the_same_tensors(form: str, by_folder: bool, tmp_path: Path) -> None:
    path = written(form, tmp_path)
    checkpoint = open_checkpoint(tmp_path if by_folder else path)
    assert sorted(checkpoint.keys()) == sorted(STATE)
    for key, want in STATE.items():
        got = checkpoint.tensor(key)
        assert got.dtype == want.dtype == checkpoint.dtype(key)
        assert torch.equal(got, want) and tuple(want.shape) == checkpoint.shape(key)


@pytest.mark.parametrize("form", FORMS)
def test_cut_files_are_refused_by_name(form: str, tmp_path: Path) -> None:
    path = written(form, tmp_path)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[: file.stat().st_size * 3 // 5])
    with pytest.raises(SeedStoryError, match=path.name.split(".")[0]):
        checkpoint = open_checkpoint(path)
        for key in checkpoint.keys():
            checkpoint.tensor(key)


@pytest.mark.parametrize("name", ["m.safetensors", "m.bin", "m.pt"])
@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 64, b"PK\x03\x04" + b"x" * 50])
def test_files_of_another_kind_are_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SeedStoryError, match=name):
        open_checkpoint(tmp_path / name)


class _Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return open, (str(self.target), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_wants_to_run_code_is_refused_and_does_not(
    zipped: bool, tmp_path: Path
) -> None:
    target = tmp_path / "was here"
    torch.save(
        {"a": torch.ones(1), "b": _Bomb(target)},
        tmp_path / "m.bin",
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(SeedStoryError, match="could run code"):
        open_checkpoint(tmp_path / "m.bin")
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(_Bomb(target)))
    with pytest.raises(SeedStoryError, match="raw.pt"):
        open_checkpoint(tmp_path / "raw.pt")
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [([torch.ones(1)], "a list"), ({"a": torch.ones(1), "epoch": 3}, "epoch"), ({}, "a dict")],
)
def test_pickles_of_other_things_are_refused(content: object, says: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "m.bin")
    with pytest.raises(SeedStoryError, match=says):
        open_checkpoint(tmp_path / "m.bin")


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    index = written("sharded safetensors", tmp_path)
    (tmp_path / "model-2-of-2.safetensors").unlink()
    checkpoint = open_checkpoint(index)
    assert checkpoint.shape("a.weight") == (2, 3)  # only shards in use must be there
    with pytest.raises(SeedStoryError, match="model-2-of-2.safetensors"):
        checkpoint.tensor("d.count")


def test_a_shard_that_lacks_a_promised_tensor_is_named(tmp_path: Path) -> None:
    index = written("sharded safetensors", tmp_path)
    data = json.loads(index.read_text())
    data["weight_map"]["ghost"] = "model-1-of-2.safetensors"
    index.write_text(json.dumps(data))
    checkpoint = open_checkpoint(index)
    with pytest.raises(SeedStoryError, match="lacks ghost"):
        checkpoint.tensor("ghost")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"weight_map": 3}', '{"weight_map": {"a": "../m.safetensors"}}']
)
def test_bad_indices_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    index = tmp_path / "sub" / "x.safetensors.index.json"
    index.write_text(text)
    save_file(STATE, tmp_path / "m.safetensors")
    with pytest.raises(SeedStoryError, match=r"index|leaves its folder"):
        open_checkpoint(index)


def test_folders_must_hold_one_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(SeedStoryError, match="holds no checkpoint"):
        open_checkpoint(tmp_path)
    save_file(STATE, tmp_path / "a.safetensors")
    save_file(STATE, tmp_path / "b.safetensors")
    with pytest.raises(SeedStoryError, match="a.safetensors, b.safetensors"):
        open_checkpoint(tmp_path)
    with pytest.raises(SeedStoryError, match="no checkpoint at"):
        open_checkpoint(tmp_path / "nothing")


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("form", ["bin", "safetensors"])
def test_opening_reads_no_values(form: str, tmp_path: Path) -> None:
    """Anonymous memory stays small: 200 MB of weights are mapped, and read when used."""
    big = {f"t{i}": torch.zeros(25, 1 << 19) for i in range(4)}
    path = tmp_path / f"m.{form}"
    torch.save(big, path) if form == "bin" else save_file(big, path)
    total = sum(value.nbytes for value in big.values())
    del big
    before = _anonymous()
    checkpoint = open_checkpoint(path)
    tensors = [checkpoint.tensor(key) for key in checkpoint.keys()]
    assert sum(value.nbytes for value in tensors) == total
    assert float(tensors[2][3, 4]) == 0
    assert _anonymous() - before < total / 4


def _anonymous() -> int:
    """Bytes of this process that no file backs."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Anonymous line in smaps_rollup")
