"""8-bit and 4-bit weights: what is stored, how near it is, what stays, what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from seedstory_core import quantised
from seedstory_core.babble import make_world
from seedstory_core.cli import main
from seedstory_core.engine import open_engine
from seedstory_core.errors import SeedStoryError
from seedstory_core.hosts import LocalPart, local_host
from seedstory_core.ops import torch_ops
from seedstory_core.parts import PartSpec
from seedstory_core.quantised import (
    FORMATS,
    Format,
    Int4,
    Int8,
    QuantisedLinear,
    put_in,
    quantise,
    rotation,
)
from seedstory_core.sampling import Sampling
from seedstory_core.story_store import load_story
from seedstory_core.types import Opening
from seedstory_core.world import World

CPU = torch.device("cpu")
BOTH = [pytest.param(Int8(), 0.012, id="int8"), pytest.param(Int4(), 0.09, id="int4")]


@pytest.fixture()
def library() -> None:
    pytest.importorskip("comfy_kitchen", reason="not installed: comfy-kitchen (quantised weights)")


def weight(outputs: int = 48, inputs: int = 64) -> torch.Tensor:
    return torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(2)) * 0.02


def relative(got: torch.Tensor, want: torch.Tensor) -> float:
    return float((got - want).norm() / want.norm())


@pytest.mark.parametrize(
    ("width", "side"), [(4096, 256), (11008, 256), (576, 64), (160, 16), (40, 0)]
)
def test_the_rotation_is_the_largest_that_divides_the_width(width: int, side: int) -> None:
    assert rotation(width) == side


@pytest.mark.parametrize(("form", "bound"), BOTH)
@pytest.mark.parametrize("shape", [(1, 1, 64), (2, 5, 64), (7, 64)])
def test_a_layer_computes_nearly_what_it_did(
    form: Format, bound: float, shape: tuple[int, ...], library: None
) -> None:
    full = weight()
    layer = QuantisedLinear(form, form.tensors(full))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    want = x @ full.T
    assert layer(x).shape == want.shape and layer(x).dtype == x.dtype
    assert 0 < relative(layer(x), want) < bound


@pytest.mark.parametrize(("form", "bound"), BOTH)
def test_where_int8_sums_are_cut_off_the_weights_are_restored(
    form: Format, bound: float, library: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = weight()
    layer = QuantisedLinear(form, form.tensors(full))
    x = torch.randn(7, 64, generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr(quantised, "exact_on", lambda kind: False)
    monkeypatch.setattr(type(form), "linear", None)
    for dtype in (torch.float32, torch.bfloat16):
        found = layer(x.to(dtype))
        assert found.dtype == dtype and 0 < relative(found.float(), x @ full.T) < bound


OTHER_PROCESSOR = """
import sys; sys.path.insert(0, {root!r})
import torch
from seedstory_core.quantised import Int8, QuantisedLinear, exact_on
generator = torch.Generator().manual_seed(2)
full, x = torch.randn(48, 64, generator=generator), torch.randn(7, 64, generator=generator)
want = x @ full.T
found = QuantisedLinear(Int8(), Int8().tensors(full))(x)
print(exact_on("cpu"), float((found - want).norm() / want.norm()))
"""


@pytest.mark.parametrize("instructions", ["SSE41", "AVX2", "AVX512_CORE", "ALL"])
def test_processors_of_all_kinds_multiply_8_bits_alike(instructions: str, library: None) -> None:
    """oneDNN is held to older instructions, without those that sum int8 products exactly."""
    code = OTHER_PROCESSOR.format(root=str(Path(__file__).parents[2]))
    env = {**os.environ, "DNNL_MAX_CPU_ISA": instructions}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout.split()[-1]) < 0.012, run.stdout


def test_int8_needs_no_width_that_can_be_rotated(library: None) -> None:
    full = weight(inputs=40)
    x = torch.randn(3, 40, generator=torch.Generator().manual_seed(3))
    assert relative(QuantisedLinear(Int8(), Int8().tensors(full))(x), x @ full.T) < 0.015


@pytest.mark.parametrize(
    ("form", "names", "config"),
    [
        (
            Int8(),
            {"": torch.int8, "_scale": torch.float32},
            {"format": "int8_tensorwise", "convrot": True, "convrot_groupsize": 64},
        ),
        (
            Int4(),
            {
                "": torch.int8,
                "_s_rel": torch.float8_e4m3fn,
                "_s_channel": torch.float32,
                "_codebook": torch.float32,
            },
            {"format": "asym_w4a8_int8", "group_size": 16, "convrot_groupsize": 64},
        ),
    ],
)
def test_the_names_are_those_of_comfyuis_quantised_files(
    form: Format, names: dict[str, torch.dtype], config: dict[str, Any], library: None
) -> None:
    state = {"a.b_proj.weight": weight().half(), "a.norm.weight": torch.ones(64)}
    out = quantise(state, ["a.*_proj.weight"], form)
    stored = out.pop("a.b_proj.comfy_quant")
    assert stored.dtype == torch.uint8 and json.loads(bytes(stored.tolist())) == config
    assert out.pop("a.norm.weight") is state["a.norm.weight"]
    assert {k.removeprefix("a.b_proj.weight"): v.dtype for k, v in out.items()} == names
    assert out["a.b_proj.weight"].nbytes * 8 == weight().numel() * form.bits
    assert not any(part.is_inference() for part in out.values())


@pytest.mark.parametrize(("form", "_bound"), BOTH)
def test_quantising_twice_gives_the_same(form: Format, _bound: float, library: None) -> None:
    first, second = (quantise({"x.weight": weight()}, ["*"], form) for _ in range(2))
    assert all(torch.equal(first[k].view(torch.uint8), second[k].view(torch.uint8)) for k in first)


def test_it_can_be_cancelled_between_two_weights(library: None) -> None:
    seen: list[str] = []

    def stop(name: str) -> None:
        seen.append(name)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantise({f"{i}.weight": weight() for i in range(4)}, ["*"], Int8(), on_weight=stop)
    assert seen == ["0.weight", "1.weight"]


@pytest.mark.parametrize(("form", "_bound"), BOTH)
def test_a_change_of_dtype_leaves_stored_values_alone(
    form: Format, _bound: float, library: None
) -> None:
    layer = QuantisedLinear(form, form.tensors(weight()))
    before = {name: (part.dtype, part.clone()) for name, part in layer.named_buffers()}
    layer.to(torch.float16)
    for name, part in layer.named_buffers():
        dtype, value = before[name]
        assert part.dtype == dtype
        assert torch.equal(part.view(torch.uint8), value.view(torch.uint8))


def test_put_in_replaces_just_the_quantised_layers(library: None) -> None:
    with torch.device("meta"):
        module = torch.nn.ModuleDict({"a": torch_ops.Linear(64, 48), "b": torch_ops.Linear(8, 8)})
    state = quantise({"a.weight": weight(), "b.weight": torch.zeros(8, 8)}, ["a.*"], Int8())
    assert set(put_in(module, state, Int8())) == {"b.weight"}
    assert isinstance(module["a"], QuantisedLinear) and isinstance(module["b"], torch.nn.Linear)


# -- a whole world ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("quantised") / "babble")


def told(world: World, form: Format | None) -> tuple[Any, Any]:
    """An engine and a story of two panels that it told."""
    engine: Any = open_engine(world, local_host(CPU, torch.float32, form=form))
    opening = Opening("A fox.", torch.zeros(8, 8, 3, dtype=torch.uint8))
    story = engine.start(opening)
    for _ in range(2):
        story = engine.tell(story, sampling=Sampling(max_caption_tokens=6))
    return engine, story


@pytest.mark.parametrize(("form", "_bound"), BOTH)
def test_a_world_tells_with_its_decoder_quantised_and_nothing_else(
    form: Format, _bound: float, world: World, library: None
) -> None:
    engine, story = told(world, form)
    assert (
        len(story) == 3 and told(world, form)[1].panels[-1].token_ids == story.panels[-1].token_ids
    )
    llm = engine.parts["llm"].acquire()
    layers = engine.config.llm.layers
    found = [name for name, module in llm.named_modules() if isinstance(module, QuantisedLinear)]
    assert len(found) == 7 * layers and all(name.startswith("model.layers.") for name in found)
    kept = ("lm_head.weight", "model.embed_tokens.weight", "model.norm.weight")
    assert all(llm.state_dict()[name].dtype == torch.float32 for name in kept)
    for part in ("vision", "detokenizer"):
        modules = engine.parts[part].acquire().modules()
        assert not any(isinstance(module, QuantisedLinear) for module in modules)


def test_mapped_weights_can_be_quantised_too(world: World, library: None) -> None:
    engine: Any = open_engine(world, local_host(CPU, torch.float32, cast=True, form=Int8()))
    llm = engine.parts["llm"].acquire()
    assert llm.lm_head.weight.dtype == torch.float16
    assert isinstance(llm.model.layers[0].mlp.up_proj, QuantisedLinear)


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_the_command_line_tells_with_quantised_weights(
    mode: str, world: World, tmp_path: Path, library: None
) -> None:
    out = tmp_path / "story"
    asked = ["tell", "--world", str(world.root), "--out", str(out), "--panels", "1", "--no-paint"]
    assert main([*asked, "--quantise", mode, "--temperature", "0"]) == 0
    assert len(load_story(out)) == 2


def test_the_memory_plan_counts_the_smaller_llm(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], library: None
) -> None:
    asked = ["tell", "--world", str(world.root), "--out", str(tmp_path / "story"), "--plan"]
    assert main([*asked, "--quantise", "int8"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("tell ")]
    assert row.split()[1:3] == ["llm", "int8"]


def test_the_command_line_says_what_is_missing_before_it_does_anything(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "comfy_kitchen", None)
    out = tmp_path / "story"
    asked = ["tell", "--world", str(world.root), "--out", str(out), "--quantise", "int8"]
    assert main(asked) == 2
    assert "pip install comfy-kitchen" in capsys.readouterr().err and not out.exists()


# -- refusals --------------------------------------------------------------------------------


def test_none_is_the_first_choice_and_means_the_file_s_precision() -> None:
    assert list(FORMATS) == ["none", "int8", "int4"] and FORMATS["none"] is None


def test_a_missing_library_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "comfy_kitchen", None)
    with pytest.raises(SeedStoryError, match=r"comfy-kitchen.*pip install comfy-kitchen.*none"):
        quantise({"a.weight": weight()}, ["*"], Int8())


def test_a_library_that_is_too_old_is_named_with_its_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = SimpleNamespace(__version__="0.1.0", int8_linear=None, __path__=[])
    monkeypatch.setitem(sys.modules, "comfy_kitchen", old)
    monkeypatch.setitem(sys.modules, "comfy_kitchen.tensor", SimpleNamespace())
    with pytest.raises(SeedStoryError, match=r"0\.1\.0 here lacks w4a8_int8_linear.*pip install"):
        quantise({"a.weight": weight()}, ["*"], Int8())


def test_four_bits_refuse_a_width_they_cannot_hold(library: None) -> None:
    with pytest.raises(SeedStoryError, match=r"multiple of 16 channels.*read 40.*int8"):
        quantise({"a.weight": weight(inputs=40)}, ["*"], Int4())


def test_a_file_that_does_not_fit_is_refused_before_it_is_quantised(
    tmp_path: Path, library: None
) -> None:
    save_file({"weight": torch.zeros(2, 2)}, tmp_path / "x.safetensors")
    spec = PartSpec(
        "x", lambda ops: ops.Linear(64, 48, bias=False), tmp_path / "x.safetensors",
        quantisable=("*",),
    )  # fmt: skip
    with pytest.raises(SeedStoryError, match=r"wrongly shaped.*weight \(2, 2\)"):
        LocalPart(spec, CPU, torch.float32, form=Int8()).acquire()
