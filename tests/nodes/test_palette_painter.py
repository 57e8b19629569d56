"""A drawn world's painter, at the shapes it is trained in, as ComfyUI's MODEL and VAE."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support import picture_painter as drawn
from support.comfy_places import ROOT

STEPS, CFG, SEED = 8, 2.0, 42


@pytest.fixture(scope="module")
def vae_module(pack: ModuleType) -> ModuleType:
    return import_module(f"{pack.__name__}.seedstory_core.painter.palette_vae")


@pytest.fixture(scope="module")
def models(vae_module: ModuleType) -> tuple[Any, Any]:
    return drawn.make_unet(), drawn.make_vae(vae_module)


@pytest.fixture(scope="module")
def world(
    pack: ModuleType, models: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    folder = drawn.write_world(tmp_path_factory.mktemp("worlds") / "w", *models)
    return pack.seedstory_core.world.load_world(folder)


@pytest.fixture()
def painter(pack: ModuleType, world: Any) -> tuple[Any, Any]:
    with torch.inference_mode():
        return pack.nodes.host.load_painter(world)


def conditioning(pack: ModuleType) -> Any:
    types = pack.seedstory_core.types
    tokens, pooled, _ = drawn.conditions()
    positive, negative = (types.Cond(tokens[i : i + 1], pooled[i : i + 1]) for i in (0, 1))
    return types.Conditioning((positive,), (negative,))


def test_the_unet_equals_diffusers(painter: tuple[Any, Any], models: tuple[Any, Any]) -> None:
    model, _ = painter
    tokens, pooled, ids = drawn.conditions()
    x = torch.randn((2, 16, 8, 8), generator=torch.Generator().manual_seed(1))
    extra = {"text_embeds": pooled, "time_ids": ids.repeat(2, 1)}
    size = {"width": 512, "height": 512, "target_width": 512, "target_height": 512}
    with torch.inference_mode():
        theirs = models[0](x, 321, tokens, added_cond_kwargs=extra).sample
        y = model.model.encode_adm(pooled_output=pooled, device="cpu", **size)
        ours = model.model.diffusion_model(x, torch.tensor([321.0, 321.0]), context=tokens, y=y)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert theirs.std() > 0.1


def test_the_vae_is_the_librarys(painter: tuple[Any, Any], models: tuple[Any, Any]) -> None:
    vae, own = painter[1], models[1]
    images = drawn.pictures()
    with torch.inference_mode():
        latents = vae.encode(images)
        torch.testing.assert_close(latents, own.encode(images.movedim(-1, 1) * 2 - 1))
        decoded = vae.decode(latents)
        expected = own.decode(latents).movedim(1, -1) / 2 + 0.5
        again = vae.encode(decoded)
    assert latents.shape == (2, 16, 8, 8) and decoded.shape == (2, 512, 512, 3)
    torch.testing.assert_close(decoded, expected)
    torch.testing.assert_close(again, own.encode(decoded.movedim(-1, 1) * 2 - 1))
    saved = (255.0 * decoded.numpy()).astype("uint8")  # as SaveImage cuts
    colours = {tuple(c) for c in saved.reshape(-1, 3).tolist()}
    assert colours <= {tuple(c) for c in drawn.PALETTE} and len(colours) > 20


def levels(image: torch.Tensor) -> torch.Tensor:
    """0..1 -> 0..255."""
    return (image * 255).round().int()


def stock_sample(
    model: Any, latent: dict[str, Any], positive: list, negative: list, **how: Any
) -> Any:
    """The latents that ComfyUI's own KSampler node makes."""
    nodes = import_module("nodes")
    settings = {"seed": SEED, "steps": STEPS, "cfg": CFG, "sampler_name": "euler"} | how
    settings |= {"scheduler": how.get("scheduler", "simple")}
    with torch.inference_mode():
        return nodes.KSampler().sample(
            model, positive=positive, negative=negative, latent_image=latent, **settings
        )[0]["samples"]


def library_latents(pack: ModuleType, world: Any) -> tuple[Any, torch.Tensor]:
    library = import_module(f"{pack.__name__}.seedstory_core.painter")
    painter = library.open_painter(world)
    settings = pack.seedstory_core.types.PaintSettings(STEPS, CFG, SEED)
    noise = painter.noise(SEED, world.panel_size)
    return painter, painter.sample(conditioning(pack), noise, settings)


def test_stock_sampling_equals_the_library(
    pack: ModuleType, world: Any, painter: tuple[Any, Any]
) -> None:
    model, vae = painter
    library, theirs = library_latents(pack, world)
    positive, negative = pack.nodes.host.to_conditioning(conditioning(pack), world.panel_size)
    empty = {"samples": torch.zeros(1, 16, 8, 8)}
    ours = stock_sample(model, empty, positive, negative)
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)
    with torch.inference_mode():
        same = levels(vae.decode(ours)) == levels(library.decode(theirs).movedim(1, -1) / 2 + 0.5)
    assert same.all(-1).float().mean() > 0.999  # but for ties
    assert theirs.std() > 0.1


@pytest.mark.parametrize("steps", [4, 5, 8, 10, 20, 25, 50])
def test_the_simple_scheduler_is_diffusers_trailing_one(
    pack: ModuleType, world: Any, painter: tuple[Any, Any], steps: int
) -> None:
    """All noise levels but the first, which both hold to be nothing but noise."""
    samplers = import_module("comfy.samplers")
    ours = samplers.calculate_sigmas(painter[0].get_model_object("model_sampling"), "simple", steps)
    theirs = pack.seedstory_core.schedule.euler_sigmas(steps, world.painter["scheduler"])
    torch.testing.assert_close(ours[1:], theirs[1:], atol=1e-4, rtol=1e-3)
    assert min(ours[0], theirs[0]) > 4000


def test_reference_sigmas_and_noise_equal_the_library(
    pack: ModuleType, world: Any, painter: tuple[Any, Any]
) -> None:
    host = pack.nodes.host
    library, theirs = library_latents(pack, world)
    scheduler = world.painter["scheduler"]
    sigmas = pack.seedstory_core.schedule.euler_sigmas(STEPS, scheduler)
    settings = host.SamplerSettings(STEPS, CFG, "euler", "normal", sigmas, scheduler)
    how = (conditioning(pack), world.panel_size, [SEED], settings, host.Reporter())
    with torch.inference_mode():
        ours = host.sampling.sample_latent(painter[0], torch.zeros(1, 16, 8, 8), *how)
        picture = host.paint_some(*painter, *how)[0]
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)
    same = picture.int() == levels(library.decode(theirs)[0].movedim(0, -1) / 2 + 0.5)
    assert same.all(-1).float().mean() > 0.999


def test_files_in_half_precision_paint_the_same(
    pack: ModuleType, models: tuple[Any, Any], tmp_path: Path
) -> None:
    """The library and ComfyUI both compute in fp32 from a shipped world's fp16 files."""
    folder = drawn.write_world(tmp_path / "half", *models, half=True)
    world = pack.seedstory_core.world.load_world(folder)
    with torch.inference_mode():
        model, vae = pack.nodes.host.load_painter(world)
    library, theirs = library_latents(pack, world)
    positive, negative = pack.nodes.host.to_conditioning(conditioning(pack), world.panel_size)
    ours = stock_sample(model, {"samples": torch.zeros(1, 16, 8, 8)}, positive, negative)
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)
    with torch.inference_mode():
        latents = vae.encode(drawn.pictures())
        own = library.vae.encode(drawn.pictures().movedim(-1, 1) * 2 - 1)
        same = levels(vae.decode(own)) == levels(library.decode(own).movedim(1, -1) / 2 + 0.5)
    torch.testing.assert_close(latents, own, atol=1e-4, rtol=1e-4)
    assert same.all(-1).float().mean() > 0.999


def test_empty_latents_fit_the_world(
    pack: ModuleType, world: Any, painter: tuple[Any, Any]
) -> None:
    handle = type("Handle", (), {"world": world})()
    node = pack.nodes.conditioning.EmptyPanelLatent
    assert node.execute(handle, 0, 0, 2).args[0]["samples"].shape == (2, 16, 8, 8)
    assert node.execute(handle, 1024, 512, 1).args[0]["samples"].shape == (1, 16, 8, 16)
    with pytest.raises(pack.seedstory_core.errors.SeedStoryError, match="multiples of 64"):
        node.execute(handle, 520, 512, 1)
    positive, negative = pack.nodes.host.to_conditioning(conditioning(pack), world.panel_size)
    latent = node.execute(handle, 0, 0, 1).args[0]
    assert stock_sample(painter[0], latent, positive, negative).shape == (1, 16, 8, 8)


def test_the_stock_empty_latent_is_mended(
    pack: ModuleType, world: Any, painter: tuple[Any, Any]
) -> None:
    latent = import_module("nodes").EmptyLatentImage().generate(512, 512)[0]
    if "downscale_ratio_spacial" not in latent:
        pytest.skip("this ComfyUI takes every empty latent to be an eighth; Empty Panel Latent")
    positive, negative = pack.nodes.host.to_conditioning(conditioning(pack), world.panel_size)
    ours = stock_sample(painter[0], latent, positive, negative)
    theirs = stock_sample(painter[0], {"samples": torch.zeros(1, 16, 8, 8)}, positive, negative)
    assert torch.equal(ours, theirs)


def test_tiles_change_nothing(painter: tuple[Any, Any]) -> None:
    nodes, vae = import_module("nodes"), painter[1]
    images = drawn.pictures(1)
    with torch.inference_mode():
        encoded = nodes.VAEEncode().encode(vae, images)[0]
        tiled = nodes.VAEEncodeTiled().encode(vae, images, tile_size=320, overlap=64)[0]
        whole = nodes.VAEDecode().decode(vae, encoded)[0]
        in_tiles = nodes.VAEDecodeTiled().decode(vae, encoded, tile_size=256, overlap=64)[0]
    assert torch.equal(encoded["samples"], tiled["samples"])
    assert torch.equal(whole, in_tiles)


def test_pictures_of_other_sizes_are_cropped_to_whole_latents(painter: tuple[Any, Any]) -> None:
    with torch.inference_mode():
        latents = painter[1].encode(torch.rand(1, 600, 530, 3))
    assert latents.shape == (1, 16, 9, 8)


def test_painting_over_a_picture_and_into_a_hole(
    pack: ModuleType, world: Any, painter: tuple[Any, Any]
) -> None:
    nodes, (model, vae) = import_module("nodes"), painter
    positive, negative = pack.nodes.host.to_conditioning(conditioning(pack), world.panel_size)
    images = drawn.pictures(1)
    with torch.inference_mode():
        latent = nodes.VAEEncode().encode(vae, images)[0]
    near = stock_sample(model, latent, positive, negative, denoise=0.25)
    far = stock_sample(model, latent, positive, negative, denoise=0.75)
    start = latent["samples"]
    assert 0 < (near - start).pow(2).mean() < (far - start).pow(2).mean()
    mask = torch.zeros(1, 512, 512)
    mask[:, :256] = 1  # the upper half is painted anew
    holed = nodes.SetLatentNoiseMask().set_mask(latent, mask)[0]
    filled = stock_sample(model, holed, positive, negative)
    with torch.inference_mode():
        erased = nodes.VAEEncodeForInpaint().encode(vae, images, mask[:, None], grow_mask_by=0)[0]
    inpainted = stock_sample(model, erased, positive, negative)
    kept = (inpainted - erased["samples"]).abs().mean((0, 1, 3))
    assert kept[4:].max() < 1e-4 and kept[:4].min() > 0.1
    torch.testing.assert_close(filled[..., 4:, :], start[..., 4:, :], atol=1e-4, rtol=1e-4)
    assert (filled[..., :4, :] - start[..., :4, :]).abs().mean() > 0.1


def previewed(model: Any, latents: torch.Tensor) -> Any:
    """The picture that samplers show, with previews on."""
    preview, cli = import_module("latent_preview"), import_module("comfy.cli_args")
    before, cli.args.preview_method = cli.args.preview_method, cli.LatentPreviewMethod.Auto
    try:
        previewer = preview.get_previewer(torch.device("cpu"), model.model.latent_format)
    finally:
        cli.args.preview_method = before
    return previewer.decode_latent_to_preview(latents)


def test_previews_show_the_picture_or_its_colours(painter: tuple[Any, Any]) -> None:
    """On older hosts a pixel for each latent, mixed from the world's own factors."""
    model, vae = painter
    latents = torch.randn((2, 16, 8, 8), generator=torch.Generator().manual_seed(0))
    picture = previewed(model, latents)
    if hasattr(model.model.latent_format, "latent_rgb_factors_reshape"):
        with torch.inference_mode():
            expected = vae.decode(latents)[0] * 255
    else:
        factors = torch.tensor(drawn.VAE["rgb_factors"])
        mixed = latents[0].movedim(0, -1) @ factors + torch.tensor(drawn.VAE["rgb_bias"])
        expected = ((mixed + 1) / 2).clamp(0, 1) * 255
    found = torch.from_numpy(np.array(picture)).reshape(-1, 3).float()
    off = (found - expected.reshape(-1, 3)).abs().amax(-1)
    assert (off <= 1.01).float().mean() > 0.999


LAYERS = {
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k": (96, 256),
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0": (192, 192),
    "up_blocks.1.attentions.1.transformer_blocks.0.attn2.to_v": (96, 256),
}


def lora(rank: int = 4) -> dict[str, torch.Tensor]:
    """A random LoRA of three layers, one in each part of the UNet, in kohya's naming."""
    generator = torch.Generator().manual_seed(11)
    state = {}
    for layer, (width, source) in LAYERS.items():
        name = f"lora_unet_{layer.replace('.', '_')}"
        down = torch.randn((rank, source), generator=generator)
        up = torch.randn((width, rank), generator=generator) * 0.1
        state |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
        state[f"{name}.alpha"] = torch.tensor(float(rank))
    return state


def test_loras_act(
    pack: ModuleType, world: Any, painter: tuple[Any, Any], models: tuple[Any, Any], tmp_path: Path
) -> None:
    """A stock LoRA loader's MODEL computes what diffusers does with the weights added."""
    folder_paths = import_module("folder_paths")
    save_file(lora(), tmp_path / "drawn.safetensors")
    folder_paths.add_model_folder_path("loras", str(tmp_path))
    folder_paths.filename_list_cache.pop("loras", None)
    load = import_module("nodes").LoraLoaderModelOnly().load_lora_model_only
    with torch.inference_mode():
        none, full = (load(painter[0], "drawn.safetensors", s)[0] for s in (0.0, 1.0))
    assert len(full.patches) == len(LAYERS)
    positive, negative = pack.nodes.host.to_conditioning(conditioning(pack), world.panel_size)
    empty = {"samples": torch.zeros(1, 16, 8, 8)}
    plain, off, on = (
        stock_sample(model, empty, positive, negative) for model in (painter[0], none, full)
    )
    assert torch.equal(plain, off)
    theirs = latents_with_lora(pack, world, copy.deepcopy(models[0]))
    torch.testing.assert_close(on, theirs, atol=1e-3, rtol=1e-3)
    assert (on - plain).abs().mean() > 0.05


def latents_with_lora(pack: ModuleType, world: Any, unet: Any) -> torch.Tensor:
    state, added = unet.state_dict(), lora()
    for layer in LAYERS:
        name = f"lora_unet_{layer.replace('.', '_')}"
        up, down = (added[f"{name}.lora_{way}.weight"] for way in ("up", "down"))
        state[f"{layer}.weight"].add_(up @ down)
    library = import_module(f"{pack.__name__}.seedstory_core.painter").open_painter(world)
    settings = pack.seedstory_core.types.PaintSettings(STEPS, CFG, SEED)
    noise = library.noise(SEED, world.panel_size)
    return replace(library, unet=unet).sample(conditioning(pack), noise, settings)


@pytest.mark.parametrize(
    ("pattern", "known"),
    [
        ("lora_unet_{flat}.lora_{up}.weight", True),  # kohya's
        ("unet.{processor}_lora.{way}.weight", True),  # diffusers' before 0.22
        ("unet.{layer}.lora_{letter}.weight", False),  # diffusers' of today, with PEFT
    ],
)
def test_which_naming_of_loras_stock_loaders_know(
    painter: tuple[Any, Any], pattern: str, known: bool
) -> None:
    """For SDXL as for drawn worlds; when the last one is known, say so on the help page."""
    state = {}
    for key, value in lora().items():
        if not key.endswith("alpha"):
            flat, way = key.removeprefix("lora_unet_").split(".")[0], key.split("lora_")[2][:-7]
            layer = next(name for name in LAYERS if name.replace(".", "_") == flat)
            processor = layer.replace(".to_", ".processor.to_").removesuffix(".0")
            letter = {"up": "B", "down": "A"}[way]
            names = {"flat": flat, "layer": layer, "processor": processor, "up": way}
            state[pattern.format(**names, way=way, letter=letter)] = value
    with torch.inference_mode():
        patched, _ = import_module("comfy.sd").load_lora_for_models(painter[0], None, state, 1, 1)
    assert len(patched.patches) == (len(LAYERS) if known else 0)


def test_the_shapes_are_those_of_the_recipe() -> None:
    recipe = json.loads((ROOT / "worlds" / "picture-world" / "recipe.json").read_text())
    assert recipe["unet"] == drawn.UNET
    assert recipe["vae"].items() <= drawn.VAE.items()
    assert drawn.SCHEDULER.items() <= recipe["scheduler"].items()
    detokenizer = recipe["sizes"]["detokenizer"]
    assert sum(detokenizer["prompt_widths"]) == drawn.WIDTH
    assert (detokenizer["tokens"], detokenizer["pooled_width"]) == (drawn.TOKENS, drawn.POOLED)
