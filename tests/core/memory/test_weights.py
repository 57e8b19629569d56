"""Weights are counted to the byte: those of files from their headers, others on the meta device."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from seedstory_core.engines.seed_story.config import OFFICIAL
from seedstory_core.engines.seed_story.memory import Memory
from seedstory_core.errors import SeedStoryError
from seedstory_core.memory import Run, budget, comfy_loading, library_loading
from seedstory_core.memory.models import part_weights
from seedstory_core.memory.weights import file_weights, module_weights
from seedstory_core.ops import torch_ops
from seedstory_core.training.estimate import official_world
from seedstory_core.world import World, load_world

PICTURE_WORLD = Path(__file__).parents[3] / "worlds" / "picture-world"
PARTS = ("vision", "llm", "detokenizer", "unet", "vae")
PREFIX = {"detokenizer": "resampler."}


@pytest.fixture(scope="module")
def picture_world() -> World:
    return load_world(PICTURE_WORLD)


@pytest.mark.parametrize("part", PARTS)
def test_files_of_picture_world(picture_world: World, part: str) -> None:
    start = PREFIX.get(part, "")
    state = load_file(picture_world.file(part))
    tensors = [value for key, value in state.items() if key.startswith(start)]
    counted = part_weights(picture_world, part)
    assert counted.bytes == sum(value.nbytes for value in tensors) > 0
    assert counted.numbers == sum(value.numel() for value in tensors)
    assert counted.bytes <= picture_world.files[part].bytes  # which has a header too
    assert counted.largest == max(value.numel() for value in tensors)


def test_the_budget_has_the_bytes_of_the_files(picture_world: World) -> None:
    """Under ComfyUI the engine's parts stay as stored; the library turns all into one dtype."""
    half, full = torch.float16, torch.float32
    stored = {part: part_weights(picture_world, part) for part in PARTS}
    comfy = budget(picture_world, Run(), comfy_loading(half, half, half))
    assert {phase.model: phase.weights for phase in comfy.phases} == {
        **{part: stored[part].bytes for part in ("vision", "llm", "detokenizer", "vae")},
        "unet": 2 * stored["unet"].numbers,
    }
    here = budget(picture_world, Run(), library_loading(full))
    assert {p.model: p.weights for p in here.phases} == {p: 4 * stored[p].numbers for p in PARTS}
    beside = {phase.name: phase.beside + phase.weights for phase in here.phases[2:]}
    assert len(set(beside.values())) == 1  # what paints is there at once


def test_the_released_world_is_counted_on_the_meta_device() -> None:
    world = official_world()
    with torch.device("meta"):
        whole = {part: Memory(OFFICIAL).build(part) for part in ("vision", "llm", "detokenizer")}
    for part, module in whole.items():
        numbers = sum(value.numel() for value in module.state_dict().values())
        assert part_weights(world, part).bytes == 2 * numbers
    llm = part_weights(world, "llm")
    resamplers = sum(v.numel() for k, v in whole["llm"].state_dict().items() if "resampler" in k)
    assert llm.numbers - resamplers == 6_738_415_616 + 66 * 2 * 4096  # Llama-2 7B, 66 more words
    assert part_weights(world, "unet").numbers == 2_567_463_684  # SDXL base
    assert part_weights(world, "vae").numbers == 83_653_863
    assert llm.quantised("int8") == pytest.approx(7.27e9, rel=0.01)
    assert llm.quantised("int4") == pytest.approx(4.43e9, rel=0.01)


def test_quantised_matrices_are_those_of_the_layers() -> None:
    """An embedding of 10 x 4, and a layer with a matrix of 8 x 4 and a norm of 4."""
    layer = torch.nn.ModuleDict({"proj": torch_ops.Embedding(8, 4), "norm": torch.nn.RMSNorm(4)})
    model = torch.nn.ModuleDict({"layers": torch.nn.ModuleList([layer])})
    whole = torch.nn.ModuleDict({"embed": torch_ops.Embedding(10, 4), "model": model})
    weights = module_weights("x", whole, torch.float16)
    assert (weights.numbers, weights.matrices, weights.largest) == (76, 32, 40)
    assert (weights.bytes, weights.quantised("int8"), weights.quantised("int4")) == (152, 120, 106)


def test_a_cut_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "llm.safetensors"
    path.write_bytes((PICTURE_WORLD / "vision.safetensors").read_bytes()[:1000])
    with pytest.raises(SeedStoryError, match=r"llm\.safetensors"):
        file_weights("llm", path)
