"""Files of the steering stages act in ComfyUI by stock nodes, whose Canny draws the hints."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support import picture_painter as drawn

TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out"]


@pytest.fixture(scope="module")
def library(pack: ModuleType) -> Any:
    """A module of the library, as the pack imports it."""
    return lambda name: import_module(f"{pack.__name__}.seedstory_core.{name}")


@pytest.fixture(scope="module")
def unet() -> Any:
    return drawn.make_unet()


@pytest.fixture(scope="module")
def model(
    pack: ModuleType, library: Any, unet: Any, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    vae = drawn.make_vae(library("painter.palette_vae"))
    folder = drawn.write_world(tmp_path_factory.mktemp("worlds") / "w", unet, vae)
    with torch.inference_mode():
        return pack.nodes.host.load_painter(pack.seedstory_core.world.load_world(folder))[0]


def conditioning(pack: ModuleType) -> Any:
    types = pack.seedstory_core.types
    tokens, pooled, _ = drawn.conditions()
    ways = [(types.Cond(tokens[i : i + 1], pooled[i : i + 1]),) for i in (0, 1)]
    return types.Conditioning(*ways)


def sampled(pack: ModuleType, model: Any, positive: Any = None) -> torch.Tensor:
    """Latents by the stock KSampler."""
    both = list(pack.nodes.host.to_conditioning(conditioning(pack), (512, 512)))
    both[0] = positive or both[0]
    how = (7, 4, 1.0, "euler", "simple", *both, {"samples": torch.zeros(1, 16, 8, 8)})
    with torch.inference_mode():
        return import_module("nodes").KSampler().sample(model, *how)[0]["samples"]


def theirs(pack: ModuleType, library: Any, unet: Any) -> torch.Tensor:
    """Latents by the library with ``unet``."""
    vae, cpu = drawn.make_vae(library("painter.palette_vae")), torch.device("cpu")
    kind = library("painter.painting").Painter
    painter = kind(unet, vae, drawn.SCHEDULER, (512, 512), cpu, torch.float32)
    noise = torch.randn((1, 16, 8, 8), generator=torch.Generator("cpu").manual_seed(7))
    settings = pack.seedstory_core.types.PaintSettings(4, 1.0)
    return painter.sample(conditioning(pack), noise, settings)


def renders(library: Any, count: int) -> torch.Tensor:
    """IMAGE [count, 64, 64, 3]: panels of a told story."""
    render, tell = library("picture_world.render"), library("picture_world.stories").tell
    pictures = [render.rgb(render.render(item.scene)) for item in tell(1, count, "test")]
    return torch.from_numpy(np.stack(pictures)).float() / 255


def test_stock_canny_draws_the_hints_that_are_trained(comfy_here: Path, library: Any) -> None:
    edges = library("painter.edges")
    node = import_module("comfy_extras.nodes_canny").Canny
    pictures = renders(library, 12)
    with torch.inference_mode():
        stock = node.execute(pictures, edges.LOW, edges.HIGH).args[0].movedim(-1, 1)
    ours = edges.canny(pictures.movedim(-1, 1))
    assert stock.shape == (12, 3, 64, 64) and ours.mean() > 0.02
    assert (edges.agreement(ours, stock[:, :1]) > 0.98).all()


def test_an_enlarged_picture_scaled_down_has_the_same_edges(comfy_here: Path, library: Any) -> None:
    """The help page's way: Upscale Image to 64 x 64, nearest-exact, then Canny."""
    pictures = renders(library, 3)
    wide = pictures.repeat_interleave(8, 1).repeat_interleave(8, 2)
    small = import_module("nodes").ImageScale().upscale(wide, "nearest-exact", 64, 64, "disabled")
    assert torch.equal(small[0], pictures)


def test_a_trained_lora_loads_by_the_stock_node(
    pack: ModuleType, library: Any, unet: Any, model: Any, tmp_path: Path
) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    steering = library("painter.steering")
    adapted = drawn.make_unet()
    torch.manual_seed(3)
    inject_adapter_in_model(LoraConfig(r=4, lora_alpha=2, target_modules=TARGETS), adapted, "a")
    for name, value in adapted.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(value, std=0.1)
    state = steering.lora_state(adapted, "a")
    save_file(state, tmp_path / "style.safetensors")
    folder_paths = import_module("folder_paths")
    folder_paths.add_model_folder_path("loras", str(tmp_path))
    folder_paths.filename_list_cache.pop("loras", None)
    load = import_module("nodes").LoraLoaderModelOnly().load_lora_model_only
    full = {key: value.float() for key, value in state.items()}
    for strength in (0.5, 1.0):
        with torch.inference_mode():
            patched = load(model, "style.safetensors", strength)[0]
        assert len(patched.patches) == len(state) // 3 > 40
        expected = theirs(pack, library, steering.with_lora(unet, full, strength))
        torch.testing.assert_close(sampled(pack, patched), expected, atol=1e-3, rtol=1e-3)
    assert (sampled(pack, patched) - sampled(pack, model)).abs().mean() > 0.02


def test_a_trained_controlnet_loads_by_the_packs_node(
    pack: ModuleType, library: Any, unet: Any, model: Any, comfy_here: Path, tmp_path: Path
) -> None:
    steering, edges = library("painter.steering"), library("painter.edges")
    control = steering.new_control(unet)
    torch.manual_seed(4)
    for name, value in control.named_parameters():
        if name.startswith(("controlnet_down", "controlnet_mid", "controlnet_cond")):
            torch.nn.init.normal_(value, std=0.1)
    state = {name: value.half().contiguous() for name, value in control.state_dict().items()}
    save_file(state, tmp_path / "controlnet.safetensors")
    folder_paths, nodes = import_module("folder_paths"), import_module("nodes")
    folder_paths.add_model_folder_path("controlnet", str(tmp_path))
    folder_paths.filename_list_cache.pop("controlnet", None)
    with torch.inference_mode():
        load = pack.nodes.loaders.LoadWorldControlNet.execute
        net = load(model, "controlnet.safetensors").args[0]
    hint = edges.hints(edges.canny(renders(library, 1).movedim(-1, 1)))
    ours = steering.open_control(unet, tmp_path / "controlnet.safetensors")
    both = pack.nodes.host.to_conditioning(conditioning(pack), (512, 512))
    apply = nodes.ControlNetApplyAdvanced().apply_controlnet
    for strength in (0.5, 1.0):
        positive, _ = apply(*both, net, hint.movedim(1, -1), strength, 0.0, 1.0)
        got = sampled(pack, model, positive)
        controlled = steering.ControlledUnet(unet, ours, hint, strength)
        expected = theirs(pack, library, controlled)
        torch.testing.assert_close(got, expected, atol=2e-2, rtol=2e-2)
    assert (got - sampled(pack, model)).abs().mean() > 0.02


def test_conditioning_average_blends_two_panels(pack: ModuleType) -> None:
    """The stock node on two Story Conditionings is the library's average of both."""
    types, host = pack.seedstory_core.types, pack.nodes.host
    evaluation = import_module(f"{pack.__name__}.seedstory_core.evaluation.steered")
    tokens, pooled, _ = drawn.conditions()
    negative = (types.Cond(tokens[:1] * 0, pooled[:1] * 0),)
    one, two = (
        types.Conditioning((types.Cond(tokens[i : i + 1], pooled[i : i + 1]),), negative)
        for i in (0, 1)
    )
    average = import_module("nodes").ConditioningAverage().addWeighted
    first, second = (host.to_conditioning(each, (512, 512))[0] for each in (one, two))
    for share in (0.0, 0.25, 1.0):
        stock = average(second, first, share)[0]
        ours = host.to_conditioning(evaluation.averaged(one, two, share), (512, 512))[0]
        torch.testing.assert_close(stock[0][0], ours[0][0])
        torch.testing.assert_close(stock[0][1]["pooled_output"], ours[0][1]["pooled_output"])
        assert stock[0][1]["width"] == ours[0][1]["width"]
