"""Weights under any name: their first bytes decide; what is none is named, and nothing runs."""

from __future__ import annotations

import argparse
import collections
import io
import json
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torch.nn import Linear

from seedstory_core.errors import SeedStoryError
from seedstory_core.weights import first_bytes
from seedstory_core.weights.pickles import can_read_pickles
from seedstory_core.weights.reader import open_checkpoint, read_tensors

STATE = {"a.weight": torch.arange(4.0).view(2, 2)}
SAFE = save(STATE)


@pytest.mark.parametrize(
    "name",
    ["m.bin", "m.pt", "m.sft", "M.SAFETENSORS", "m.ckpt", "m", "m.safetensors.part", "m.html"],
)
def test_safetensors_are_read_under_any_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(SAFE)
    assert torch.equal(open_checkpoint(tmp_path / name).tensor("a.weight"), STATE["a.weight"])


@pytest.mark.parametrize("name", ["m.safetensors", "m.ckpt", "M.BIN", "m"])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_are_read_under_any_name(name: str, zipped: bool, tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / name, _use_new_zipfile_serialization=zipped)
    assert torch.equal(open_checkpoint(tmp_path / name).tensor("a.weight"), STATE["a.weight"])
    with pytest.raises(SeedStoryError, match="only safetensors are read here"):
        read_tensors(tmp_path / name)


def _archive() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.add(__file__, "test.py")
    return data.getvalue()


def _zip(**members: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return data.getvalue()


OTHERS = {
    "HTML": b"\n<!DOCTYPE html><html>404: not found</html>",
    "HTML ": b"\xef\xbb\xbf<html lang=en>",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
    "Xet": b"# xet version 0\nfilesize = 3\n",
    "empty": b"",
    "zeros": b"\0" * 4096,
    "GGUF": b"GGUF\3\0\0\0" + b"\1" * 64,
    "ONNX": b"\x08\x07\x12\x07pytorch\x1a\x032.0" + b"\1" * 64,
    "HDF5": b"\x89HDF\r\n\x1a\n" + b"\1" * 64,
    "NumPy": b"\x93NUMPY\1\0v\0{'descr'",
    "archive": b"\x1f\x8b\x08\0" + b"\1" * 64,
    "tar archive": _archive(),
    "ZIP archive": _zip(model_safetensors=SAFE),
    "picture": b"\x89PNG\r\n\x1a\n" + b"\1" * 64,
    "JSON": b'{"architectures": ["LlamaForCausalLM"]}',
    "plain text": b"Access denied\nlog in\n",
    "cut short within its list": SAFE[:40],
    "damaged": SAFE[:-4],
    "damaged ": b"\xff\xfe" * 40,
    "damaged  ": b"PK\x03\x04" + b"x" * 50,
    "damaged   ": struct.pack("<Q", 2**63) + b"{" + b"x" * 50,
    "damaged    ": struct.pack("<Q", 12) + b'{"a": [[[}}}' + b"x" * 50,
}


@pytest.mark.parametrize("name", ["m.bin", "m.safetensors"])
@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_checkpoint_is_called_what_it_is(kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(OTHERS[kind])
    with pytest.raises(SeedStoryError, match=rf"(?s){name}.*{kind.strip()}"):
        open_checkpoint(tmp_path / name)
    with pytest.raises(SeedStoryError, match=name):
        read_tensors(tmp_path / name)


NOT_ALLOWED = {
    "argparse.Namespace": argparse.Namespace(lr=1),
    "numpy": numpy.float64(1.5),
    "numpy.*": numpy.ones(3),
    "torch.nn.modules.linear.Linear": Linear(1, 1),
    "collections.deque": collections.deque([1]),
    "pathlib": Path("a"),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("asked", NOT_ALLOWED)
def test_what_a_pickle_asks_for_is_named_without_advice_to_run_it(
    asked: str, zipped: bool, tmp_path: Path
) -> None:
    content = {"state_dict": STATE, "other": NOT_ALLOWED[asked]}
    torch.save(content, tmp_path / "m.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(SeedStoryError, match=f"asks for {asked}") as caught:
        open_checkpoint(tmp_path / "m.bin")
    for advice in ("\x1b", "weights_only", "do those steps", "add_safe_globals", "trust"):
        assert advice not in str(caught.value)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_pickles_are_refused_in_words(protocol: int, tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"a": numpy.ones(3)}, protocol))
    with pytest.raises(SeedStoryError, match="m.pkl") as caught:
        open_checkpoint(tmp_path / "m.pkl")
    assert "weights_only" not in str(caught.value)


class _Named(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def test_torchscript_is_named_and_not_run(tmp_path: Path) -> None:
    torch.jit.trace(_Named(), torch.ones(1)).save(str(tmp_path / "m.pt"))  # pyright: ignore
    with pytest.raises(SeedStoryError, match="TorchScript"):
        open_checkpoint(tmp_path / "m.pt")


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(1).expand(1 << 40),
        torch.ones(2, 1).expand(2, 1 << 40),
        torch.empty(1 << 40, device="meta"),
        torch.eye(3).to_sparse(),
    ],
    ids=["one number repeated", "rows repeated", "of no device", "sparse"],
)
def test_tensors_larger_than_their_data_are_refused(tensor: torch.Tensor, tmp_path: Path) -> None:
    torch.save({"a": tensor}, tmp_path / "m.bin")
    with pytest.raises(SeedStoryError, match="without data of their own: a"):
        open_checkpoint(tmp_path / "m.bin")


def test_shared_tensors_are_read(tmp_path: Path) -> None:
    whole = torch.arange(6.0).view(2, 3)
    torch.save({"a": whole, "tied": whole, "row": whole[1], "turned": whole.t()}, tmp_path / "m.pt")
    assert torch.equal(open_checkpoint(tmp_path / "m.pt").tensor("turned"), whole.t())


def test_packed_members_are_not_unpacked(tmp_path: Path) -> None:
    """Ten megabytes of a packed list would take gigabytes."""
    with zipfile.ZipFile(tmp_path / "m.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", b"\x80\x02]q\0." + b"\0" * (64 << 20))
        archive.writestr("m/version", "3")
    with pytest.raises(SeedStoryError, match="packed by another program"):
        open_checkpoint(tmp_path / "m.pt")


@pytest.mark.parametrize("name", ["ONLY.SAFETENSORS", "only.sft", "only.ckpt", "Only.Pt"])
def test_the_only_file_of_a_folder_is_found_whatever_its_case(name: str, tmp_path: Path) -> None:
    if name.lower().endswith(("ckpt", "pt")):
        torch.save(STATE, tmp_path / name)
    else:
        save_file(STATE, tmp_path / name)
    (tmp_path / f"._{name}").write_bytes(b"\0\5\x16\7")  # as macOS leaves them
    (tmp_path / "config.json").write_text("{}")
    assert open_checkpoint(tmp_path).keys() == list(STATE)


def test_folders_without_weights_say_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "unet").mkdir()
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(SeedStoryError, match=r"There is m.gguf, model_index.json.*folders unet"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "where", [{"a": 1}, {"a": None}, {"a": ["m"]}, ["a"], "a", {"a": "\0"}, {"a": "x" * 5000}]
)
def test_indices_name_files(where: object, tmp_path: Path) -> None:
    (tmp_path / "m.bin.index.json").write_text(json.dumps({"weight_map": where}))
    with pytest.raises(SeedStoryError, match=r"m\.bin\.index\.json|no file's name"):
        open_checkpoint(tmp_path)


def test_an_index_may_not_name_links_that_lead_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    save_file(STATE, tmp_path / "secret")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "m.bin.index.json").write_text(json.dumps({"weight_map": {"a": "link"}}))
    with pytest.raises(SeedStoryError, match="leaves its folder"):
        open_checkpoint(tmp_path / "in")


def test_more_tensors_than_any_model_are_refused_before_they_are_listed(tmp_path: Path) -> None:
    many = first_bytes.MAX_TENSORS + 1
    entry = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"t{i}": entry for i in range(many)}).encode()
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    for read in (open_checkpoint, read_tensors):
        with pytest.raises(SeedStoryError, match="more than a model has"):
            read(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ("2.5.1", False), ("2.5.1+cu124", False), ("2.4.0a0+git123", False), ("1.13.1", False),
        ("1.100.0", False), ("", False), ("unknown", False), ("2", False),
        ("2.6.0", True), ("2.6.0+cpu", True), ("2.10.0a0+git", True), ("2.11.0+cu130", True),
        ("3.0", True), ("10.0.0", True), ("2.6.0rc1", True),
    ],
)  # fmt: skip
def test_versions_of_torch_are_compared_as_numbers(version: str, safe: bool) -> None:
    assert can_read_pickles(version) is safe


@pytest.mark.parametrize("zipped", [True, False])
def test_old_torch_reads_safetensors_and_no_pickle(
    zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(STATE, tmp_path / "m.bin", _use_new_zipfile_serialization=zipped)
    save_file(STATE, tmp_path / "m.safetensors")
    monkeypatch.setattr(torch, "__version__", "2.5.1+cu124")
    with pytest.raises(SeedStoryError, match=r"torch 2\.5\.1\+cu124 .* Update torch to 2\.6"):
        open_checkpoint(tmp_path / "m.bin")
    assert open_checkpoint(tmp_path / "m.safetensors").keys() == list(STATE)


#: A loaded machine is slow to draw; the folder is the same for all examples on purpose.
ON_ANY_MACHINE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def _saved(zipped: bool) -> bytes:
    data = io.BytesIO()
    torch.save(STATE, data, _use_new_zipfile_serialization=zipped)
    return data.getvalue()


@settings(max_examples=100, deadline=None, suppress_health_check=ON_ANY_MACHINE)
@given(st.sampled_from([SAFE, _saved(True), _saved(False)]), st.data())
def test_any_change_is_read_or_refused_in_words(
    tmp_path: Path, sound: bytes, data: st.DataObject
) -> None:
    raw = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "m").write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        checkpoint = open_checkpoint(tmp_path / "m")
        for key in checkpoint.keys():
            checkpoint.tensor(key)
    except SeedStoryError as error:
        assert "weights_only" not in str(error)
