"""A world's own painter: ComfyUI's layers around diffusers' weights compute the same."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from support import tiny_painter as tiny

STEPS = 6
CFG = 5.0


@pytest.fixture(scope="module")
def models() -> tuple[Any, Any]:
    return tiny.make_models()


@pytest.fixture()
def painter(pack: ModuleType, models: tuple[Any, Any], tmp_path: Path) -> tuple[Any, Any]:
    world = pack.seedstory_core.world.load_world(tiny.write_world(tmp_path / "w", *models))
    with torch.inference_mode():
        return pack.nodes.host.load_painter(world)


def conditions() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens [2, 64, 48] (positive, negative), pooled [2, 20], size ids [1, 6]."""
    generator = torch.Generator().manual_seed(7)
    tokens = torch.randn((2, 64, 48), generator=generator)
    pooled = torch.randn((2, tiny.POOLED), generator=generator)
    return tokens, pooled, torch.tensor([[16.0, 16, 0, 0, 16, 16]])


def test_unet_equals_diffusers(painter: tuple[Any, Any], models: tuple[Any, Any]) -> None:
    model, _ = painter
    tokens, pooled, ids = conditions()
    x = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    extra = {"text_embeds": pooled, "time_ids": ids.repeat(2, 1)}
    with torch.inference_mode():
        theirs = models[0](x, 321, tokens, added_cond_kwargs=extra).sample
        y = model.model.encode_adm(
            pooled_output=pooled,
            width=16,
            height=16,
            target_width=16,
            target_height=16,
            device="cpu",
        )
        ours = model.model.diffusion_model(x, torch.tensor([321.0, 321.0]), context=tokens, y=y)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert theirs.std() > 0.1


def test_vae_equals_diffusers(painter: tuple[Any, Any], models: tuple[Any, Any]) -> None:
    _, vae = painter
    z = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(2))
    image = torch.rand((1, 16, 16, 3), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        theirs = models[1].decode(z).sample
        ours = vae.decode(z).movedim(-1, 1) * 2 - 1
        latent = models[1].encode(image.movedim(-1, 1) * 2 - 1).latent_dist.mean
        own_latent = vae.encode(image)
    assert ours.shape == (1, 3, 16, 16)
    torch.testing.assert_close(ours, theirs.clamp(-1, 1), atol=1e-4, rtol=1e-4)
    assert own_latent.shape == latent.shape
    assert (own_latent - latent).abs().max() < 6 * latent.std()  # ComfyUI draws a sample


def diffusers_latent(unet: Any, **scheduler: Any) -> torch.Tensor:
    """The reference's loop: leading Euler, classifier-free guidance -> latents before scaling."""
    tokens, pooled, ids = conditions()
    euler = tiny.scheduler(**scheduler)
    euler.set_timesteps(STEPS)
    noise = torch.randn((1, 4, 8, 8), generator=torch.Generator("cpu").manual_seed(42))
    x = noise * euler.init_noise_sigma
    for t in euler.timesteps:
        both = euler.scale_model_input(x.repeat(2, 1, 1, 1), t)
        extra = {"text_embeds": pooled, "time_ids": ids.repeat(2, 1)}
        out = unet(both, t, tokens, added_cond_kwargs=extra).sample
        guided = out[1:] + CFG * (out[:1] - out[1:])
        x = euler.step(guided, t, x).prev_sample
    return x


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prediction_type": "v_prediction"},
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
        {"beta_schedule": "linear"},
    ],
    ids=["epsilon", "v_prediction", "zero_snr", "linear_betas"],
)
def test_sampling_equals_diffusers(
    pack: ModuleType, models: tuple[Any, Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    core, host = pack.seedstory_core, pack.nodes.host
    tokens, pooled, _ = conditions()
    conditioning = core.types.Conditioning(
        (core.types.Cond(tokens[:1], pooled[:1]),), (core.types.Cond(tokens[1:], pooled[1:]),)
    )
    world = core.world.load_world(tiny.write_world(tmp_path / "w", *models, **changes))
    scheduler = world.painter["scheduler"]
    sigmas = core.schedule.euler_sigmas(STEPS, scheduler)
    settings = host.SamplerSettings(STEPS, CFG, "euler", "normal", sigmas, scheduler)
    how = (conditioning, (16, 16), [42], settings, host.Reporter())
    with torch.inference_mode():
        theirs = diffusers_latent(models[0], **changes) / tiny.VAE["scaling_factor"]
        picture = models[1].decode(theirs).sample.clamp(-1, 1) / 2 + 0.5
        model, vae = host.load_painter(world)
        ours = host.sampling.sample_latent(model, torch.zeros(1, 4, 8, 8), *how)
        painted = host.paint_some(model, vae, *how)[0]
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)
    rounding = 0.5 / 255  # the picture is in 8 bits
    assert (painted.movedim(-1, 0) / 255 - picture[0]).abs().max() < 1e-3 + rounding
    assert picture.std() > 0.02 and theirs.std() > 0.1


def test_foreign_weights_are_named(
    pack: ModuleType, models: tuple[Any, Any], tmp_path: Path
) -> None:
    core = pack.seedstory_core
    other = tiny.make_models(tiny.UNET | {"cross_attention_dim": 56})[0]
    folder = tiny.write_world(tmp_path / "w", other, models[1])
    text = (
        (folder / "world.json")
        .read_text()
        .replace('"cross_attention_dim": 56', '"cross_attention_dim": 48')
    )
    (folder / "world.json").write_text(text)
    with pytest.raises(core.errors.SeedStoryError, match="wrongly shaped.*attn2.to_k"):
        pack.nodes.host.load_painter(core.world.load_world(folder))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("norm_num_groups", 16),
        ("act_fn", "gelu"),
        ("attention_head_dim", [2, 2]),
        ("block_out_channels", [32, 48]),
        ("addition_embed_type", "image"),
        ("up_block_types", ["UpBlock2D", "UpBlock2D"]),
    ],
)
def test_what_comfyui_cannot_build_is_refused(pack: ModuleType, key: str, value: Any) -> None:
    config = tiny.UNET | {"attention_head_dim": [2, 4], key: value}
    if key == "attention_head_dim":  # one head width or one head count is needed, this has neither
        config |= {
            "down_block_types": ["CrossAttnDownBlock2D"] * 3,
            "up_block_types": ["CrossAttnUpBlock2D"] * 3,
            "block_out_channels": [32, 64, 128],
            "transformer_layers_per_block": 1,
            "attention_head_dim": [2, 2, 8],
        }
    with pytest.raises(pack.seedstory_core.errors.SeedStoryError, match=key):
        pack.nodes.host.unet.unet_settings(config)


def test_world_without_painter_names_the_sdxl_route(pack: ModuleType, tmp_path: Path) -> None:
    core = pack.seedstory_core
    folder = tiny.write_world(tmp_path / "w", *tiny.make_models())
    text = (folder / "world.json").read_text().replace('"painter"', '"not_painter"')
    (folder / "world.json").write_text(text)
    with pytest.raises(core.errors.SeedStoryError, match="Load Checkpoint.*Apply De-tokenizer"):
        pack.nodes.host.load_painter(core.world.load_world(folder))


def test_damaged_file_is_named(pack: ModuleType, models: tuple[Any, Any], tmp_path: Path) -> None:
    core = pack.seedstory_core
    folder = tiny.write_world(tmp_path / "w", *models)
    whole = (folder / "unet.safetensors").read_bytes()
    (folder / "unet.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(core.errors.SeedStoryError, match="unet.safetensors is damaged"):
        pack.nodes.host.load_painter(core.world.load_world(folder))


def test_paint_story_equals_the_librarys_painter(
    pack: ModuleType, comfy_here: Path, tmp_path: Path
) -> None:
    """The babbling world, told once, painted by ComfyUI's sampler and by diffusers.

    Two steps: an untrained UNet under guidance makes a hundredfold of each rounding error a step.
    """
    import folder_paths

    core, nodes = pack.seedstory_core, pack.nodes
    library = import_module(f"{pack.__name__}.seedstory_core.painter")
    folder_paths.set_output_directory(str(tmp_path))
    with torch.inference_mode():
        llm, vision, detokenizer = nodes.loaders.LoadWorld.execute("babble", "fp32").args
        picture = torch.zeros(8, 8, 3, dtype=torch.uint8)
        story = llm.engine.start(core.types.Opening("A fox.", picture, "same"))
        story = llm.engine.tell(llm.engine.tell(story, seed=1), seed=2)
        model, vae = nodes.loaders.LoadWorldPainter.execute("babble").args
        sigmas = nodes.settings.ReferenceSigmas.execute(2, detokenizer).args[0]
        how = {"steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "seed": 7}
        how |= {"same_noise": False, "repaint": False, "width": 0, "height": 0, "sigmas": sigmas}
        ours = nodes.painting.PaintStory.execute(story, model, vae, detokenizer, **how).args[1]
    world = detokenizer.world
    painter = library.open_painter(world, None, torch.device("cpu"), torch.float32)
    settings = core.types.PaintSettings(2, 3.0, 7, None, False)
    theirs = painter.paint(llm.engine, story, [1, 2], settings)
    for mine, other in zip(ours, theirs, strict=True):
        levels = (mine * 255 - other.float()).abs()
        assert levels.max() < 1.001 and levels.mean() < 0.05  # rounding to 8 bits
        assert other.float().std() > 5
