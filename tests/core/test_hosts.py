"""The library's own host: strict, mapped, in the wanted precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import Linear
from torch.nn.functional import linear

from seedstory_core.errors import SeedStoryError
from seedstory_core.hosts import HeldPart, LocalPart, local_host
from seedstory_core.parts import PartSpec

CPU = torch.device("cpu")


def spec(folder: Path, state: dict[str, torch.Tensor] | None = None, prefix: str = "") -> PartSpec:
    weights = folder / "part.safetensors"
    if state is not None:
        save_file(state, weights)
    return PartSpec("part", lambda ops: ops.Linear(3, 2), weights, prefix)


def state(prefix: str = "", **changes: torch.Tensor) -> dict[str, torch.Tensor]:
    whole = {"weight": torch.randn(2, 3).half(), "bias": torch.randn(2).half(), **changes}
    return {prefix + key: value for key, value in whole.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_part_computes_in_the_dtype_asked_for(dtype: torch.dtype, tmp_path: Path) -> None:
    given = state()
    part = local_host(CPU, dtype)(spec(tmp_path, given))
    module: Any = part.acquire()
    x = torch.randn(4, 3, dtype=dtype)
    want = linear(x, given["weight"].to(dtype), given["bias"].to(dtype))
    assert module(x).dtype == dtype
    torch.testing.assert_close(module(x), want)
    assert not any(p.requires_grad for p in module.parameters()) and not module.training


def test_cast_keeps_the_weights_as_in_the_file(tmp_path: Path) -> None:
    given = state()
    module: Any = LocalPart(spec(tmp_path, given), CPU, torch.float32, cast=True).acquire()
    assert module.weight.dtype == torch.float16
    x = torch.randn(4, 3)
    torch.testing.assert_close(module(x), x @ given["weight"].float().T + given["bias"].float())


def test_weights_load_once_and_again_after_release(tmp_path: Path) -> None:
    part = LocalPart(spec(tmp_path, state()), CPU, torch.float32)
    module = part.acquire()
    assert part.acquire(1 << 30) is module
    part.release()
    assert part.acquire() is not module


def test_nothing_is_read_before_it_is_needed(tmp_path: Path) -> None:
    part = LocalPart(spec(tmp_path), CPU, torch.float32)  # the file does not exist yet
    with pytest.raises(SeedStoryError, match="part.safetensors"):
        part.acquire()
    save_file(state(), tmp_path / "part.safetensors")
    assert part.acquire() is not None


def test_only_the_prefix_belongs_to_the_part(tmp_path: Path) -> None:
    given = state("mine.") | {"other.weight": torch.ones(9)}
    module: Any = LocalPart(spec(tmp_path, given, "mine."), CPU, torch.float16).acquire()
    assert torch.equal(module.weight, given["mine.weight"])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"weight": torch.ones(2, 3)}, "misses weights: bias"),
        (state(extra=torch.ones(1)), "unknown weights: extra"),
        (state(weight=torch.ones(3, 2)), r"weight \(3, 2\) instead of \(2, 3\)"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    given: dict[str, torch.Tensor], says: str, tmp_path: Path
) -> None:
    with pytest.raises(SeedStoryError, match=says):
        LocalPart(spec(tmp_path, given), CPU, torch.float32).acquire()


@pytest.mark.parametrize("cut", [0, 5, 60])
def test_cut_files_are_refused(cut: int, tmp_path: Path) -> None:
    one = spec(tmp_path, state())
    one.weights.write_bytes(one.weights.read_bytes()[:cut])
    with pytest.raises(SeedStoryError, match="damaged, cut short|cut short within|empty"):
        LocalPart(one, CPU, torch.float32).acquire()


def test_mapped_weights_are_for_the_cpu(tmp_path: Path) -> None:
    with pytest.raises(SeedStoryError, match="CPU only"):
        LocalPart(spec(tmp_path), torch.device("cuda"), torch.float32, cast=True)


def test_a_held_part_gives_what_it_was_given() -> None:
    module = Linear(1, 1)
    assert HeldPart(module, CPU, torch.float32).acquire() is module


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64])
def test_weights_of_another_kind_of_number_are_named(dtype: torch.dtype, tmp_path: Path) -> None:
    try:
        one = spec(tmp_path, state(bias=torch.ones(2, dtype=dtype)))
    except KeyError:
        pytest.skip(f"this safetensors writes no {dtype}")
    part = local_host(CPU, torch.float32)(one)
    with pytest.raises(SeedStoryError, match=f"bias {dtype}"):
        part.acquire()
