"""Parts under ComfyUI's memory management: partial loading, dynamic mode, strict weights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file


@pytest.fixture(scope="module")
def world_folder(pack: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from importlib import import_module

    folder = tmp_path_factory.mktemp("worlds") / "tiny"
    import_module(f"{pack.__name__}.seedstory_core.babble").make_world(folder)
    return folder


def handles(
    pack: ModuleType, folder: Path, precision: str = "fp32", wrap: Any = None
) -> dict[str, Any]:
    """Handles to the three parts, nothing loaded."""
    core, nodes = pack.seedstory_core, pack.nodes
    world = core.world.load_world(folder)
    host = nodes.host.comfy_host(precision)
    wrapped = (lambda spec: wrap(host(spec))) if wrap else host
    engine = core.engine.open_engine(world, wrapped)
    return {part: nodes.types.EngineHandle(engine, part, world) for part in engine.parts}


def one_turn(pack: ModuleType, parts: dict[str, Any]) -> tuple[Any, Any]:
    """A told panel and its conditioning, every part used once."""
    engine = parts["llm"].engine
    opening = pack.seedstory_core.types.Opening("A fox.", torch.zeros(8, 8, 3, dtype=torch.uint8))
    greedy = pack.seedstory_core.sampling.Sampling(max_caption_tokens=8)
    with torch.inference_mode():
        story = engine.tell(engine.start(opening), sampling=greedy)
        return story.panels[-1], engine.condition(story, 1).positive[0].tokens


@pytest.fixture()
def expected(pack: ModuleType, world_folder: Path, comfy_here: Path) -> tuple[Any, Any]:
    return one_turn(pack, handles(pack, world_folder))


def assert_same(turn: tuple[Any, Any], expected: tuple[Any, Any], atol: float = 1e-4) -> None:
    assert turn[0].token_ids == expected[0].token_ids and len(turn[0].token_ids) > 8
    for mine, theirs in zip(
        [*turn[0].features.values(), turn[1]],
        [*expected[0].features.values(), expected[1]],
        strict=True,
    ):
        torch.testing.assert_close(mine.float(), theirs.float(), atol=atol, rtol=atol)


def test_weights_stay_mapped_in_the_precision_of_their_file(
    pack: ModuleType, world_folder: Path
) -> None:
    parts = handles(pack, world_folder)
    one_turn(pack, parts)
    for handle in parts.values():
        dtypes = {p.dtype for p in handle.patcher.model.parameters()}
        assert dtypes == {torch.float16}
        assert handle.engine.parts[handle.part].dtype == torch.float32


class DynamicPart:
    """A part whose layers are built as in ComfyUI's dynamic memory: without weights.

    Only that much of it works without a GPU; files are read in the usual way.
    """

    version = None

    def __init__(self, part: Any, memory: Any) -> None:
        self._part, self._memory = part, memory
        self.device, self.dtype = part.device, part.dtype
        build = part.spec.build
        part.spec = replace(part.spec, build=lambda ops: self._build(build, ops))

    def _build(self, build: Any, ops: Any) -> Any:
        self._memory.aimdo_enabled = True
        return build(ops)

    def acquire(self, working_bytes: int = 0) -> Any:
        self._memory.aimdo_enabled = self._part.patcher is not None
        return self._part.acquire(working_bytes)


@pytest.fixture()
def dynamic(comfy_here: Path) -> Iterator[Any]:
    """Wraps a part into `DynamicPart`; the mode is off again afterwards."""
    reason = "not found: dynamic memory (needs a newer ComfyUI)"
    memory = pytest.importorskip("comfy.memory_management", reason=reason)
    before = memory.aimdo_enabled
    yield lambda part: DynamicPart(part, memory)
    memory.aimdo_enabled = before


def test_dynamic_memory_gives_the_same(
    pack: ModuleType, world_folder: Path, expected: tuple[Any, Any], dynamic: Any
) -> None:
    import comfy.ops

    assert_same(one_turn(pack, handles(pack, world_folder, wrap=dynamic)), expected)
    assert comfy.ops.manual_cast.Linear(2, 2).weight is None  # so it was on


def test_missing_weights_are_named_in_dynamic_memory_too(
    pack: ModuleType, world_folder: Path, tmp_path: Path, dynamic: Any
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(world_folder, folder)
    state = load_file(folder / "llm.safetensors")
    gone = next(key for key in state if key.endswith("q_proj.weight"))
    save_file({k: v for k, v in state.items() if k != gone}, folder / "llm.safetensors")
    parts = handles(pack, folder, wrap=dynamic)
    with pytest.raises(pack.seedstory_core.errors.SeedStoryError, match=f"misses.*{gone}"):
        one_turn(pack, parts)


class HalfPart:
    """A part of which ComfyUI could load a quarter; the rest is cast as it runs."""

    version = None

    def __init__(self, part: Any) -> None:
        self.part, self.device, self.dtype = part, part.device, part.dtype

    def acquire(self, working_bytes: int = 0) -> Any:
        import comfy.model_management as management

        if self.part.patcher is None:
            self.part.acquire(working_bytes)
            management.unload_all_models()
            quarter = self.part.patcher.model_size() // 4
            self.part.patcher.load(self.device, lowvram_model_memory=quarter)
        assert self.part.patcher.model.model_lowvram
        return self.part.patcher.model


def test_a_part_that_does_not_fit_runs_half_loaded(
    pack: ModuleType, world_folder: Path, expected: tuple[Any, Any]
) -> None:
    parts = handles(pack, world_folder, wrap=HalfPart)
    assert_same(one_turn(pack, parts), expected)
    for handle in parts.values():
        layers = list(handle.engine.parts[handle.part].part.patcher.model.modules())
        cast = [getattr(layer, "prev_comfy_cast_weights", None) for layer in layers]
        assert sum(flag is not None for flag in cast) >= 2  # marked by ComfyUI as left behind


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_other_precisions_compute(
    pack: ModuleType, world_folder: Path, expected: tuple[Any, Any], precision: str
) -> None:
    panel, tokens = one_turn(pack, handles(pack, world_folder, precision))
    assert tokens.isfinite().all() and tokens.shape == expected[1].shape
    assert all(value.isfinite().all() for value in panel.features.values())


def test_lora_on_the_llm_is_an_ordinary_patch(pack: ModuleType, world_folder: Path) -> None:
    import comfy.model_management as management

    parts = handles(pack, world_folder)
    one_turn(pack, parts)
    patcher = parts["llm"].patcher
    key = next(k for k in patcher.model.state_dict() if k.endswith("q_proj.weight"))
    before = patcher.model.state_dict()[key].clone()
    clone = patcher.clone()
    assert clone.add_patches({key: ("diff", (torch.ones_like(before),))}, 1.0) == [key]
    management.load_models_gpu([clone])
    assert not torch.equal(patcher.model.state_dict()[key], before)
    management.load_models_gpu([patcher])
    assert torch.equal(patcher.model.state_dict()[key], before)


def test_patch_goes_before_loras_and_leaves_the_model_alone(
    pack: ModuleType, world_folder: Path
) -> None:
    nodes = pack.nodes
    world = pack.seedstory_core.world.load_world(world_folder)
    with torch.inference_mode():
        model, _ = nodes.host.load_painter(world)
    key = next(k for k in model.model.state_dict() if k.endswith("attn2.to_k.weight"))
    base = model.model.state_dict()[key].clone()
    import comfy.utils

    names = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    theirs = next(k for k, v in names.items() if "diffusion_model." + v == key)
    patch = {theirs: torch.full_like(base, 0.25)}
    lora = {key: ("diff", (torch.full_like(base, 0.5),))}

    def patched(order: str) -> torch.Tensor:
        changed = model
        for step in order:
            if step == "d":
                changed = nodes.host.patch_model(changed, patch, world)
            else:
                changed = changed.clone()
                changed.add_patches(lora, 1.0)
        changed.patch_model(torch.device("cpu"))
        weight = changed.model.state_dict()[key].clone()
        changed.unpatch_model(torch.device("cpu"))
        return weight

    assert torch.equal(patched("dl"), patched("ld"))
    assert torch.equal(patched("dl"), torch.full_like(base, 0.75))
    assert torch.equal(patched("d"), torch.full_like(base, 0.25))
    assert torch.equal(model.model.state_dict()[key], base)
    assert model.patches == {}
    assert nodes.host.patch_model(model, patch, world).patches_uuid != model.patches_uuid


def test_wrong_base_models_are_named(pack: ModuleType, world_folder: Path) -> None:
    nodes, errors = pack.nodes, pack.seedstory_core.errors
    world = pack.seedstory_core.world.load_world(world_folder)
    with torch.inference_mode():
        model, _ = nodes.host.load_painter(world)
    small = {"mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight": torch.zeros(3, 3)}
    cases = (
        (
            replace(world, painter={"unet": {"cross_attention_dim": 77}}),
            {},
            "expected 77 channels of its prompts and got 2048",
        ),
        (world, small, "other shapes: mid_block"),
        (world, {"no.such.weight": torch.zeros(1)}, "lacks 1 .*no.such.weight"),
    )
    for other, patch, message in cases:
        with pytest.raises(errors.SeedStoryError, match=message):
            nodes.host.patch_model(model, patch, other)
