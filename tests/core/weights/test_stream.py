"""Streamed safetensors: readable by the reference reader, whole or absent."""

import hashlib
import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from seedstory_core.errors import SeedStoryError
from seedstory_core.weights.stream import StreamWriter, TensorSpec

TENSORS = {
    "half": torch.arange(6, dtype=torch.float16).reshape(2, 3),
    "brain": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "scalar": torch.tensor(3.25),
    "empty": torch.zeros(0, 4),
    "bytes": torch.arange(5, dtype=torch.uint8),
    "ints": torch.tensor([1 << 40, -1]),
    "strided": torch.arange(12, dtype=torch.float32).reshape(3, 4).t(),
}
SPECS = {name: TensorSpec(tuple(t.shape), t.dtype) for name, t in TENSORS.items()}


def write(target: Path) -> StreamWriter:
    with StreamWriter(target, SPECS, {"format": "pt", "note": "naïve"}) as writer:
        for name in writer.order:
            writer.add(name, TENSORS[name])
    return writer


def test_reads_back_exactly(tmp_path: Path):
    target = tmp_path / "deep" / "a.safetensors"
    writer = write(target)
    loaded = load_file(target)
    assert set(loaded) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)
    with safe_open(target, "pt") as file:
        assert file.metadata() == {"format": "pt", "note": "naïve"}
    assert writer.bytes == target.stat().st_size
    assert writer.sha256 == hashlib.sha256(target.read_bytes()).hexdigest()


def test_data_is_aligned_for_mapping(tmp_path: Path):
    target = tmp_path / "a.safetensors"
    write(target)
    raw = target.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    assert (8 + length) % 8 == 0
    for name, spec in SPECS.items():
        assert header[name]["data_offsets"][0] % spec.dtype.itemsize == 0


def test_an_error_leaves_the_old_file_and_no_temporary(tmp_path: Path):
    target = tmp_path / "a.safetensors"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), StreamWriter(target, SPECS) as writer:
        writer.add(writer.order[0], TENSORS[writer.order[0]])
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_wrong_shape_and_forgotten_tensors_leave_nothing(tmp_path: Path):
    target = tmp_path / "a.safetensors"
    with pytest.raises(SeedStoryError, match=r"half was announced as \(2, 3\)"):
        with StreamWriter(target, {"half": SPECS["half"]}) as writer:
            writer.add("half", torch.zeros(3, 2, dtype=torch.float16))
    with pytest.raises(AssertionError, match="before half was written"):
        with StreamWriter(target, {"half": SPECS["half"]}):
            pass
    assert not list(tmp_path.iterdir())
