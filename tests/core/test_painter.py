"""The diffusers painter gives the reference's latents, and refuses what it cannot paint."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from seedstory_core.babble import make_world
from seedstory_core.babble.shapes import UNET, VAE
from seedstory_core.engine import Engine, open_engine
from seedstory_core.errors import SeedStoryError
from seedstory_core.hosts import local_host
from seedstory_core.images import read_picture
from seedstory_core.painter import Painter, loading, open_painter, overlay
from seedstory_core.schedule import euler_sigmas, init_noise_sigma
from seedstory_core.types import Cond, Conditioning, Opening, PaintSettings, Story
from seedstory_core.world import World

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")

GOLDEN = Path(__file__).parents[1] / "golden" / "seed_story"
CPU, FP32 = torch.device("cpu"), torch.float32


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("worlds") / "babble")


@pytest.fixture(scope="module")
def engine(world: World) -> Engine:
    return open_engine(world, local_host(CPU, FP32))


@pytest.fixture(scope="module")
def story(world: World, engine: Engine) -> Story:
    first = world.openings[0]
    opening = Opening(first["text"], read_picture(world.root / first["image"]))
    return engine.tell(engine.start(opening), seed=1)


@pytest.fixture(scope="module")
def painter(world: World) -> Painter:
    return open_painter(world)


def golden_painter() -> Painter:
    config = json.loads((GOLDEN / "detokenizer_unet_config.json").read_text())
    unet = diffusers.UNet2DConditionModel.from_config(config)
    state = load_file(GOLDEN / "detokenizer_pytorch_model.safetensors")
    overlay(
        unet, {k.removeprefix("unet."): v for k, v in state.items() if k.startswith("unet.")}, "x"
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(4,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
    )
    scheduler = json.loads((GOLDEN / "scheduler_config.json").read_text())
    return Painter(unet.eval().float(), vae.eval(), scheduler, (64, 64), CPU, FP32)


def golden_conditioning(golden: dict[str, torch.Tensor]) -> Conditioning:
    return Conditioning(
        positive=(Cond(golden["prompt_embeds"], golden["pooled"]),),
        negative=(Cond(golden["negative_prompt_embeds"], golden["negative_pooled"]),),
    )


def test_latents_equal_the_reference() -> None:
    golden = load_file(GOLDEN / "detokenizer_io.safetensors")
    latents = golden_painter().sample(
        golden_conditioning(golden),
        golden["euler3_init_noise"],
        PaintSettings(steps=3, guidance=7.5),
    )
    torch.testing.assert_close(latents, golden["euler3_final_latents"], atol=5e-3, rtol=1e-3)


def test_a_plain_euler_loop_over_our_sigmas_paints_the_same() -> None:
    """What a host with its own Euler sampler does with `schedule.euler_sigmas`."""
    golden = load_file(GOLDEN / "detokenizer_io.safetensors")
    painter, sigmas = golden_painter(), euler_sigmas(3)
    conditioning = golden_conditioning(golden)
    x = golden["euler3_init_noise"] * init_noise_sigma(sigmas)
    with torch.no_grad():
        for step, (sigma, following) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
            scaled, time = x / (sigma**2 + 1) ** 0.5, golden["euler3_timesteps"][step]
            away = painter._predict(scaled, time, conditioning.negative)
            towards = painter._predict(scaled, time, conditioning.positive)
            x = x + (following - sigma) * (away + 7.5 * (towards - away))
    torch.testing.assert_close(x, golden["euler3_final_latents"], atol=5e-3, rtol=1e-3)


def test_pictures_have_the_worlds_size_and_repeat(
    painter: Painter, engine: Engine, story: Story
) -> None:
    settings = PaintSettings(steps=2)
    first = painter.paint(engine, story, [0, 1], settings)
    assert [tuple(p.shape) for p in first] == [(64, 64, 3)] * 2
    assert not torch.equal(first[0], first[1])
    again = painter.paint(engine, story, [-1], settings)
    assert torch.equal(again[0], first[1]), "a panel's picture depends on nothing beside it"


def test_seed_policy(painter: Painter) -> None:
    shared, own = PaintSettings(seed=5), PaintSettings(seed=5, same_noise=False)
    assert torch.equal(painter.noise(shared.seed_of(3), (64, 64)), painter.noise(5, (64, 64)))
    assert torch.equal(painter.noise(own.seed_of(3), (64, 64)), painter.noise(8, (64, 64)))


def test_given_noise_is_used(painter: Painter, engine: Engine, story: Story) -> None:
    settings = PaintSettings(steps=2, seed=5)
    seeded = painter.paint(engine, story, [1], settings)
    given = painter.paint(
        engine, story, [1], replace(settings, seed=9), noise=painter.noise(5, (64, 64))
    )
    assert torch.equal(seeded[0], given[0])


def test_other_sizes(painter: Painter, engine: Engine, story: Story) -> None:
    settings = PaintSettings(steps=1, size=(96, 40))
    assert painter.paint(engine, story, [1], settings)[0].shape == (40, 96, 3)


@pytest.mark.parametrize("size", [(60, 64), (0, 64), (64, 8192), (-64, 64)])
def test_impossible_sizes_are_refused(
    painter: Painter,
    engine: Engine,
    story: Story,
    size: tuple[int, int],
) -> None:
    with pytest.raises(SeedStoryError, match="multiples of 8"):
        painter.paint(engine, story, [1], PaintSettings(size=size))


@pytest.mark.parametrize("steps", [0, 1001])
def test_impossible_steps_are_refused(
    painter: Painter, engine: Engine, story: Story, steps: int
) -> None:
    with pytest.raises(SeedStoryError, match="1 to 1000 steps"):
        painter.paint(engine, story, [1], PaintSettings(steps=steps))


def test_progress_counts_every_step_and_can_stop(
    painter: Painter, engine: Engine, story: Story
) -> None:
    seen: list[tuple[int, int]] = []
    settings = PaintSettings(steps=3)
    painter.paint(engine, story, [0, 1], settings, lambda d, t, n="": seen.append((d, t)))
    assert seen[0] == (0, 6) and seen[-1] == (6, 6)
    assert {d for d, _ in seen} == set(range(7))

    stop = threading.Event()

    def cancel(done: int, total: int, note: str = "") -> None:
        if done == 2:
            stop.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        painter.paint(engine, story, [0, 1], settings, cancel)
    assert stop.is_set()


def test_without_guidance_the_negative_is_not_asked(painter: Painter) -> None:
    generator = torch.Generator().manual_seed(0)
    cond = Cond(torch.randn(1, 64, 2048, generator=generator), torch.randn(1, 1280))
    broken = Cond(torch.full((1, 64, 2048), float("nan")), torch.zeros(1, 1280))
    noise = painter.noise(0, (64, 64))
    settings = PaintSettings(steps=2, guidance=1.0)
    latents = painter.sample(Conditioning((cond,), (broken,)), noise, settings)
    assert latents.isfinite().all()


def test_conditions_take_turns(painter: Painter) -> None:
    """Start and end of a condition: half the steps by one, half by the other."""
    one, two = (
        Cond(
            torch.randn(1, 8, 2048, generator=torch.Generator().manual_seed(i)),
            torch.zeros(1, 1280),
        )
        for i in (1, 2)
    )
    noise, settings = painter.noise(0, (64, 64)), PaintSettings(steps=4, guidance=1.0)

    def paint(*conds: Cond) -> torch.Tensor:
        return painter.sample(Conditioning(conds, ()), noise, settings)

    turns = paint(replace(one, end=0.5), replace(two, start=0.5))
    assert not torch.equal(turns, paint(one)) and not torch.equal(turns, paint(two))
    with pytest.raises(SeedStoryError, match="No condition acts"):
        paint(replace(one, start=0.5))


def test_nan_pictures_are_refused(painter: Painter) -> None:
    from seedstory_core.images import from_vae

    with pytest.raises(SeedStoryError, match="not numbers"):
        from_vae(painter.decode(torch.full((1, 4, 8, 8), float("nan"))))


def without(world: World, *roles: str) -> World:
    files = {role: entry for role, entry in world.files.items() if role not in roles}
    return replace(world, files=files)


def test_a_world_without_painter_needs_a_base(world: World) -> None:
    for role, name in (("unet", "UNet"), ("vae", "VAE")):
        with pytest.raises(SeedStoryError, match=f"no {name} of its own.*--base"):
            open_painter(without(world, role))
    with pytest.raises(SeedStoryError, match="There is no SDXL base"):
        open_painter(without(world, "unet"), Path("/nowhere"))


def test_a_diffusers_folder_as_base(
    world: World,
    painter: Painter,
    tmp_path: Path,
    engine: Engine,
    story: Story,
) -> None:
    painter.unet.save_pretrained(tmp_path / "unet")
    painter.vae.save_pretrained(tmp_path / "vae")
    based = open_painter(without(world, "unet", "vae"), tmp_path)
    settings = PaintSettings(steps=2)
    own = painter.paint(engine, story, [1], settings)
    assert torch.equal(based.paint(engine, story, [1], settings)[0], own[0])


def test_a_patch_changes_the_unet_and_must_fit(world: World, painter: Painter) -> None:
    key = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    patched = open_painter(world, patch={key: torch.zeros(64, 2048)})
    assert patched.unet.state_dict()[key].abs().max() == 0
    assert painter.unet.state_dict()[key].abs().max() > 0
    with pytest.raises(SeedStoryError, match="do not fit.*nonsense"):
        open_painter(world, patch={"nonsense": torch.zeros(1)})
    with pytest.raises(SeedStoryError, match="do not fit.*to_k"):
        open_painter(world, patch={key: torch.zeros(64, 768)})


def test_damaged_painters_are_named(world: World, tmp_path: Path) -> None:
    broken = make_world(tmp_path / "w")
    data = (tmp_path / "w" / "unet.safetensors").read_bytes()
    (tmp_path / "w" / "unet.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(SeedStoryError, match=r"unet\.safetensors .* is damaged"):
        open_painter(broken)
    state = load_file(world.file("unet"))
    state.pop("conv_in.weight")
    save_file(state, tmp_path / "w" / "unet.safetensors")
    with pytest.raises(SeedStoryError, match=r"misses weights: conv_in\.weight"):
        open_painter(broken)


def test_a_unet_in_one_file(painter: Painter, tmp_path: Path) -> None:
    save_file(painter.unet.state_dict(), tmp_path / "unet.safetensors")
    unet = loading._from_base(tmp_path / "unet.safetensors", "unet", UNET)
    for name, tensor in painter.unet.state_dict().items():
        assert torch.equal(unet.state_dict()[name], tensor), name


def original_vae_name(name: str) -> str:
    """diffusers' name of a VAE tensor -> the original one, as checkpoints in one file have it."""
    levels = len(VAE["block_out_channels"]) - 1
    name = re.sub(r"up_blocks\.(\d)", lambda m: f"up.{levels - int(m[1])}", name)
    for pattern, original in (
        (r"down_blocks\.", "down."),
        (r"mid_block\.resnets\.0", "mid.block_1"),
        (r"mid_block\.resnets\.1", "mid.block_2"),
        (r"mid_block\.attentions\.0", "mid.attn_1"),
        (r"resnets\.", "block."),
        (r"downsamplers\.0", "downsample"),
        (r"upsamplers\.0", "upsample"),
        (r"group_norm", "norm"),
        (r"to_([qkv])\b", r"\1"),
        (r"to_out\.0", "proj_out"),
        (r"conv_shortcut", "nin_shortcut"),
        (r"conv_norm_out", "norm_out"),
    ):
        name = re.sub(pattern, original, name)
    return f"first_stage_model.{name}"


def test_a_vae_in_one_checkpoint(painter: Painter, tmp_path: Path) -> None:
    """Read offline, with our config."""
    path = tmp_path / "sdxl.safetensors"
    state = {original_vae_name(name): t for name, t in painter.vae.state_dict().items()}
    for name, tensor in state.items():
        if ".attn_1." in name and tensor.ndim == 2:
            state[name] = tensor[..., None, None]  # there as 1 x 1 convolutions
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    vae = loading._from_base(path, "vae", VAE)
    for name, tensor in painter.vae.state_dict().items():
        assert torch.equal(vae.state_dict()[name], tensor), name


def test_pickled_bases_are_not_opened(world: World, tmp_path: Path) -> None:
    path = tmp_path / "sdxl.ckpt"
    path.write_bytes(b"\x80\x04.")
    for lacking in ("unet", "vae"):
        with pytest.raises(SeedStoryError, match=r"sdxl\.ckpt"):
            open_painter(without(world, lacking), path)
    foreign = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, foreign)
    with pytest.raises(SeedStoryError, match="holds no SDXL UNet"):
        open_painter(without(world, "unet"), foreign)
    with pytest.raises(SeedStoryError, match="holds no VAE"):
        open_painter(without(world, "vae"), foreign)
