"""A small ControlNet acts on a drawn world's MODEL as it does in diffusers."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support import picture_painter as drawn

SHARED = ("in_channels", "block_out_channels", "layers_per_block", "down_block_types")
SHARED += ("transformer_layers_per_block", "attention_head_dim", "norm_num_groups")
SHARED += ("cross_attention_dim", "use_linear_projection", "addition_embed_type")
SHARED += ("addition_time_embed_dim", "projection_class_embeddings_input_dim")


@pytest.fixture(scope="module")
def unet() -> Any:
    return drawn.make_unet()


@pytest.fixture(scope="module")
def control() -> Any:
    """diffusers' ControlNet of the UNet's shape; its zero convolutions are not zero."""
    diffusers: Any = import_module("diffusers")
    torch.manual_seed(5)
    net = diffusers.ControlNetModel(
        **{key: drawn.UNET[key] for key in SHARED},
        conditioning_embedding_out_channels=(16, 32, 96, 256),
    )
    net.eval().requires_grad_(False)
    for name, parameter in net.named_parameters():
        if name.startswith(("controlnet_down", "controlnet_mid", "controlnet_cond")):
            torch.nn.init.normal_(parameter, std=0.1)
    return net


@pytest.fixture(scope="module")
def model(pack: ModuleType, unet: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    palette = import_module(f"{pack.__name__}.seedstory_core.painter.palette_vae")
    root = tmp_path_factory.mktemp("worlds")
    folder = drawn.write_world(root / "w", unet, drawn.make_vae(palette))
    with torch.inference_mode():
        return pack.nodes.host.load_painter(pack.seedstory_core.world.load_world(folder))[0]


@pytest.fixture()
def folder(comfy_here: Path, tmp_path: Path) -> Path:
    """A fresh folder of ControlNets that ComfyUI searches."""
    import folder_paths

    folder_paths.add_model_folder_path("controlnet", str(tmp_path))
    folder_paths.filename_list_cache.pop("controlnet", None)
    return tmp_path


def save(state: dict[str, torch.Tensor], path: Path) -> str:
    save_file({key: value.clone() for key, value in state.items()}, path)
    return path.name


def load(pack: ModuleType, model: Any, name: str) -> Any:
    with torch.inference_mode():
        return pack.nodes.loaders.LoadWorldControlNet.execute(model, name).args[0]


def sampled(pack: ModuleType, model: Any, net: Any, image: torch.Tensor, strength: float) -> Any:
    """Latents by stock nodes only: Apply ControlNet, KSampler."""
    nodes = import_module("nodes")
    types = pack.seedstory_core.types
    tokens, pooled, _ = drawn.conditions()
    ways = [(types.Cond(tokens[i : i + 1], pooled[i : i + 1]),) for i in (0, 1)]
    positive, negative = pack.nodes.host.to_conditioning(types.Conditioning(*ways), (512, 512))
    with torch.inference_mode():
        positive, negative = nodes.ControlNetApplyAdvanced().apply_controlnet(
            positive, negative, net, image, strength, 0.0, 1.0
        )
        latent = {"samples": torch.zeros(1, 16, 8, 8)}
        how = (7, 4, 1.0, "euler", "simple", positive, negative, latent)
        return nodes.KSampler().sample(model, *how)[0]["samples"]


def test_the_stock_loader_does_not_know_its_shape(control: Any, folder: Path) -> None:
    """Why the pack brings a loader: drop it when this fails."""
    name = save(control.state_dict(), folder / "small.safetensors")
    with pytest.raises((AttributeError, TypeError)):
        import_module("nodes").ControlNetLoader().load_controlnet(name)


def test_a_controlnet_equals_diffusers(
    pack: ModuleType, model: Any, unet: Any, control: Any, folder: Path
) -> None:
    net = load(pack, model, save(control.state_dict(), folder / "edges.safetensors"))
    image = drawn.pictures(1)
    seen: list[torch.Tensor] = []
    hook = net.control_model.input_hint_block.register_forward_pre_hook(
        lambda _, args: seen.append(args[0])
    )
    ours = sampled(pack, model, net, image, 1.0)
    hook.remove()
    native = image[:, ::8, ::8].movedim(-1, 1)
    assert all(torch.equal(hint, native) for hint in seen) and len(seen) == 4
    torch.testing.assert_close(ours, diffusers_latents(unet, control, native), atol=1e-3, rtol=1e-3)
    plain = sampled(pack, model, net, image, 0.0)
    assert (ours - plain).abs().mean() > 0.05
    other = sampled(pack, model, net, drawn.pictures(1, seed=99), 1.0)
    assert (ours - other).abs().mean() > 1e-3


def diffusers_latents(unet: Any, control: Any, native: torch.Tensor) -> torch.Tensor:
    """The same sampling in diffusers, without guidance."""
    diffusers: Any = import_module("diffusers")
    schedule = diffusers.EulerDiscreteScheduler.from_config(drawn.SCHEDULER)
    schedule.set_timesteps(4)
    tokens, pooled, ids = drawn.conditions()
    given = {"encoder_hidden_states": tokens[:1]}
    given["added_cond_kwargs"] = {"text_embeds": pooled[:1], "time_ids": ids}
    generator = torch.Generator("cpu").manual_seed(7)
    x = torch.randn((1, 16, 8, 8), generator=generator) * schedule.init_noise_sigma
    for time in schedule.timesteps:
        scaled = schedule.scale_model_input(x, time)
        with torch.inference_mode():
            down, mid = control(scaled, time, controlnet_cond=native, return_dict=False, **given)
            extra = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
            answer = unet(scaled, time, **given, **extra).sample
        x = schedule.step(answer, time, x).prev_sample
    return x


def test_the_original_naming_loads_too(
    pack: ModuleType, model: Any, control: Any, folder: Path
) -> None:
    settings = model.model.model_config.unet_config
    names = pack.nodes.host.controlnet.comfy_names(control.state_dict(), settings)
    state = {f"control_model.{key}": value for key, value in names.items()}
    one = load(pack, model, save(control.state_dict(), folder / "one.safetensors"))
    two = load(pack, model, save(state, folder / "two.safetensors"))
    first, second = one.control_model.state_dict(), two.control_model.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_half_precision_files_act_the_same(
    pack: ModuleType, model: Any, control: Any, folder: Path
) -> None:
    whole = load(pack, model, save(control.state_dict(), folder / "whole.safetensors"))
    state = {key: value.half() for key, value in control.state_dict().items()}
    half = load(pack, model, save(state, folder / "half.safetensors"))
    image = drawn.pictures(1)
    one, two = (sampled(pack, model, net, image, 1.0) for net in (whole, half))
    torch.testing.assert_close(one, two, atol=2e-2, rtol=2e-2)


def test_worlds_bring_their_own(
    pack: ModuleType, model: Any, control: Any, comfy_here: Path
) -> None:
    root = pack.nodes.host.folders.world_roots()[0] / "drawn"
    root.mkdir(parents=True)
    (root / "world.json").write_text(json.dumps({}))
    save(control.state_dict(), root / "controlnet.safetensors")
    assert pack.nodes.host.controlnet_choices()[0] == "drawn: controlnet.safetensors"
    assert load(pack, model, "drawn: controlnet.safetensors").control_model is not None


def test_foreign_files_are_named(pack: ModuleType, model: Any, control: Any, folder: Path) -> None:
    error = pack.seedstory_core.errors.SeedStoryError
    state = control.state_dict()
    state["conv_in.weight"] = torch.zeros(96, 4, 3, 3)
    name = save(state, folder / "other.safetensors")
    with pytest.raises(error, match=r"another UNet.*input_blocks\.0\.0\.weight"):
        load(pack, model, name)
    (folder / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(error, match=r"torn\.safetensors .* plain text"):
        load(pack, model, "torn.safetensors")
    for missing in ("../../etc/passwd", "(none found)"):
        with pytest.raises(error, match="There is no ControlNet"):
            load(pack, model, missing)


def test_a_larger_controlnet_says_its_size_and_ours(
    pack: ModuleType, model: Any, folder: Path
) -> None:
    large = {
        "controlnet_cond_embedding.conv_in.weight": torch.zeros(16, 3, 3, 3),
        "conv_in.weight": torch.zeros(320, 4, 3, 3),
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": torch.zeros(4, 2048),
        "controlnet_down_blocks.0.weight": torch.zeros(320, 320, 1, 1),
    }
    error = pack.seedstory_core.errors.SeedStoryError
    with pytest.raises(error, match=r"another UNet: 320 channels .* world's UNet has 96") as caught:
        load(pack, model, save(large, folder / "large.safetensors"))
    assert "convert" not in str(caught.value) and "width 256" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("lora_unet_down_blocks_0.lora_up.weight", "a LoRA"),
        ("adapter.body.0.in_conv.weight", "a T2I adapter"),
        ("first_stage_model.encoder.conv_in.weight", "a VAE"),
        ("model.diffusion_model.output_blocks.0.0.weight", "a whole UNet"),
        ("up_blocks.0.resnets.0.conv1.weight", "a whole UNet"),
        ("something", "something else"),
    ],
)
def test_what_is_no_controlnet_is_called_what_it_is(
    pack: ModuleType, model: Any, folder: Path, key: str, kind: str
) -> None:
    error = pack.seedstory_core.errors.SeedStoryError
    name = f"no-{key.split('.')[0]}-{kind[-4:]}.safetensors"  # a list keeps the first of a name
    with pytest.raises(error, match=rf"no-.* is {kind}, no ControlNet: its"):
        load(pack, model, save({key: torch.zeros(1)}, folder / name))


def test_the_other_separator_is_understood(
    pack: ModuleType, model: Any, control: Any, folder: Path
) -> None:
    (folder / "mine").mkdir()
    save(control.state_dict(), folder / "mine" / "edges.safetensors")
    node = pack.nodes.loaders.LoadWorldControlNet
    for name in ("mine/edges.safetensors", "mine\\edges.safetensors"):
        assert node.validate_inputs(name) is True
        assert load(pack, model, name) is not None
    assert "There is no ControlNet" in node.validate_inputs("mine\\none.safetensors")
