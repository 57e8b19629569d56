"""Quantised weights in ComfyUI's own layers: as without ComfyUI, half loaded, patched, refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from seedstory_core.quantised import exact_on

MODES = ("int8", "int4")


@pytest.fixture(scope="module")
def world_folder(pack: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worlds") / "tiny"
    import_module(f"{pack.__name__}.seedstory_core.babble").make_world(folder)
    return folder


@pytest.fixture()
def able(comfy_here: Path) -> None:
    """Skips on hosts without quantised layers; there `test_a_host_without...` says what happens."""
    pytest.importorskip("comfy_kitchen", reason="not installed: comfy-kitchen (quantised weights)")
    ops = import_module("comfy.ops")
    if "asym_w4a8_int8" not in getattr(ops, "QUANT_ALGOS", {}):
        pytest.skip("not found: int8 and 4-bit layers in this ComfyUI (0.33 has them)")
    if not exact_on("cpu"):
        pytest.skip("not found: a processor that sums int8 products (VNNI)")


def engine_of(pack: ModuleType, folder: Path, host: Callable[[Any], Any]) -> Any:
    core = pack.seedstory_core
    return core.engine.open_engine(core.world.load_world(folder), host)


def told(pack: ModuleType, engine: Any) -> Any:
    """A panel that the engine told."""
    opening = pack.seedstory_core.types.Opening("A fox.", torch.zeros(8, 8, 3, dtype=torch.uint8))
    greedy = pack.seedstory_core.sampling.Sampling(max_caption_tokens=8)
    return engine.tell(engine.start(opening), sampling=greedy).panels[-1]


def assert_same(mine: Any, theirs: Any) -> None:
    assert mine.token_ids == theirs.token_ids and len(mine.token_ids) > 8
    for space, features in theirs.features.items():
        torch.testing.assert_close(mine.features[space], features, atol=1e-4, rtol=1e-4)


@pytest.fixture()
def without_comfyui(pack: ModuleType, world_folder: Path, able: None) -> Callable[[str], Any]:
    """The panel as the library's own host tells it with the same weights."""
    hosts = import_module(f"{pack.__name__}.seedstory_core.hosts")
    forms = import_module(f"{pack.__name__}.seedstory_core.quantised").FORMATS

    def tell(mode: str) -> Any:
        host = hosts.local_host(torch.device("cpu"), torch.float32, form=forms[mode])
        return told(pack, engine_of(pack, world_folder, host))

    return tell


@pytest.mark.parametrize("mode", MODES)
def test_comfyuis_layers_compute_as_the_librarys(
    pack: ModuleType, world_folder: Path, without_comfyui: Callable[[str], Any], mode: str
) -> None:
    host = pack.nodes.host.comfy_host("fp32", mode)
    assert_same(told(pack, engine_of(pack, world_folder, host)), without_comfyui(mode))


@pytest.mark.parametrize("mode", MODES)
def test_a_processor_that_cuts_off_int8_sums_is_named(
    pack: ModuleType, able: None, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = import_module(f"{pack.__name__}.nodes.host.quantised")
    monkeypatch.setattr(there, "exact_on", lambda kind: False)
    error = import_module(f"{pack.__name__}.seedstory_core.errors").SeedStoryError
    with pytest.raises(error, match=f"{mode} needs a processor with VNNI.*quantise to none"):
        pack.nodes.host.comfy_host("fp32", mode)


@pytest.mark.parametrize(("mode", "each"), [("int8", 1), ("int4", 0.5625)])
def test_comfyui_counts_the_smaller_model(
    pack: ModuleType, world_folder: Path, able: None, mode: str, each: float
) -> None:
    matrices = 2 * (4 * 64 * 64 + 3 * 64 * 160)  # weights in babble's two layers
    sizes = []
    for name in ("none", mode):
        part = engine_of(pack, world_folder, pack.nodes.host.comfy_host("fp16", name)).parts["llm"]
        part.acquire()
        sizes.append(part.patcher.model_size())
    saved = matrices * (2 - each)
    assert 0.9 * saved < sizes[0] - sizes[1] < saved  # scales of rows and settings come on top


def test_only_the_llm_is_quantised(pack: ModuleType, world_folder: Path, able: None) -> None:
    parts = engine_of(pack, world_folder, pack.nodes.host.comfy_host("fp32", "int8")).parts
    stored = {
        name: {value.dtype for value in part.acquire().state_dict().values()}
        for name, part in parts.items()
    }
    assert torch.int8 in stored.pop("llm")
    assert all(torch.int8 not in dtypes for dtypes in stored.values())


class HalfPart:
    """A part of which ComfyUI could load a quarter; the rest is cast as it runs."""

    version = None

    def __init__(self, part: Any) -> None:
        self.part, self.device, self.dtype = part, part.device, part.dtype

    def acquire(self, working_bytes: int = 0) -> Any:
        management = import_module("comfy.model_management")
        if self.part.patcher is None:
            self.part.acquire(working_bytes)
            management.unload_all_models()
            quarter = self.part.patcher.model_size() // 4
            self.part.patcher.load(self.device, lowvram_model_memory=quarter)
        assert self.part.patcher.model.model_lowvram
        return self.part.patcher.model


@pytest.mark.parametrize("mode", MODES)
def test_half_loaded_they_compute_the_same(
    pack: ModuleType, world_folder: Path, without_comfyui: Callable[[str], Any], mode: str
) -> None:
    host = pack.nodes.host.comfy_host("fp32", mode)
    engine = engine_of(pack, world_folder, lambda spec: HalfPart(host(spec)))
    assert_same(told(pack, engine), without_comfyui(mode))


def test_layers_that_begin_without_weights_load_too(
    pack: ModuleType, world_folder: Path, able: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So ComfyUI builds them in its dynamic memory; files are read in the usual way here."""
    memory = import_module("comfy.memory_management")
    part = engine_of(pack, world_folder, pack.nodes.host.comfy_host("fp32", "int8")).parts["llm"]

    def build(ops: Any) -> Any:
        monkeypatch.setattr(memory, "aimdo_enabled", True)
        return part.spec.build(ops)

    loading = import_module(f"{pack.nodes.__name__}.host.parts")
    spec = replace(part.spec, build=build)
    module = loading.load_module(spec, torch.float32, part._form, part.device)
    layer = module.model.layers[0].mlp.up_proj
    assert layer.weight.shape == (160, 64)  # babble's, and not that of the storage
    assert not any(value.is_meta for value in module.state_dict().values())


@pytest.mark.parametrize("mode", MODES)
def test_a_lora_goes_on_and_off_quantised_weights(
    pack: ModuleType, world_folder: Path, able: None, mode: str
) -> None:
    management = import_module("comfy.model_management")
    engine = engine_of(pack, world_folder, pack.nodes.host.comfy_host("fp32", mode))
    before = told(pack, engine)
    patcher = engine.parts["llm"].patcher
    key = "model.layers.0.self_attn.v_proj.weight"
    clone = patcher.clone()
    assert clone.add_patches({key: ("diff", (torch.ones(64, 64),))}, 1.0) == [key]
    management.load_models_gpu([clone])
    layer = clone.model.model.layers[0].self_attn.v_proj
    added = layer(torch.ones(1, 1, 64)) - 64
    management.load_models_gpu([patcher])
    removed = layer(torch.ones(1, 1, 64))
    assert float((added - removed).abs().max()) < 2  # 64 inputs of 1, plus 1 on each weight
    assert_same(told(pack, engine), before)


# -- the loader --------------------------------------------------------------------------------


def test_the_widget_comes_last_and_may_be_missing(pack: ModuleType) -> None:
    loader = pack.nodes.loaders.LoadWorld
    widget = loader.define_schema().inputs[-1]
    assert (widget.id, widget.options, widget.default) == (
        "quantise",
        ["none", *MODES],
        "none",
    )
    assert widget.optional
    assert len(loader.execute("babble", "fp32").result) == 3  # as prompts of older versions ask


@pytest.mark.parametrize("mode", MODES)
def test_a_host_without_such_layers_says_what_to_do(
    pack: ModuleType, comfy_here: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ops = import_module("comfy.ops")
    monkeypatch.delattr(ops, "mixed_precision_ops", raising=False)
    monkeypatch.delattr(ops, "QUANT_ALGOS", raising=False)
    errors = import_module(f"{pack.__name__}.seedstory_core.errors")
    version = import_module("comfyui_version").__version__
    with pytest.raises(
        errors.SeedStoryError, match=rf"{mode} needs.*{version} knows none.*to none"
    ):
        pack.nodes.loaders.LoadWorld.execute("babble", "fp32", mode)


def test_a_host_that_knows_other_formats_names_them(
    pack: ModuleType, comfy_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ops = import_module("comfy.ops")
    monkeypatch.setattr(ops, "mixed_precision_ops", lambda *_: None, raising=False)
    monkeypatch.setattr(ops, "QUANT_ALGOS", {"nvfp4": {}}, raising=False)
    with pytest.raises(ValueError, match=r"asym_w4a8_int8.*knows nvfp4"):
        pack.nodes.loaders.LoadWorld.execute("babble", "fp32", "int4")
