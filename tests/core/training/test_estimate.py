"""Estimates: counts on the meta device are those of the real classes, tiny and official."""

from dataclasses import replace

import pytest
import torch
from support.tiny_palette_world import SCHEDULER, SIZES, UNET, palette_vae
from torch import nn
from torch.nn import functional as F

from seedstory_core.engines.seed_story.config import OFFICIAL
from seedstory_core.machine import Machine
from seedstory_core.ops import torch_ops
from seedstory_core.training import works
from seedstory_core.training.adapt_plan import Estimate, Step, clock
from seedstory_core.training.adapt_settings import AdaptSettings
from seedstory_core.training.counting import cost_of, parameters, trained_parameters
from seedstory_core.training.estimate import estimate, official_world
from seedstory_core.training.works import META, Shapes

CPU = torch.device("cpu")
SETTINGS = AdaptSettings(rank=4, replay=10)
ROOMY = Machine(ram=1 << 40, vram=0, gpu="", disk=1 << 40, cores=2)
#: Of the released checkpoints.
LLM, UNET_SDXL, DETOKENIZER = 6_875_860_992, 2_567_463_684, 61_246_208


def tiny_shapes() -> Shapes:
    sizes = replace(SIZES, llm=replace(SIZES.llm, vocab=100))
    vae = palette_vae().config.to_json()
    return Shapes(sizes, UNET, vae, SCHEDULER, True, True, (128, 128), panels=3, caption=5)


def lora_parameters(sizes, rank: int) -> int:
    llm = sizes.llm
    keys = llm.kv_heads * llm.head_width
    square, narrow, wide = 2 * llm.width, llm.width + keys, llm.width + llm.mlp_width
    return llm.layers * rank * (2 * square + 2 * narrow + 3 * wide)


@pytest.mark.parametrize("build", [works.telling, works.painting])
def test_meta_counts_are_the_real_modules(build):
    shapes = tiny_shapes()
    meta = build(shapes, SETTINGS, 2, META, torch.float32)
    real = build(shapes, SETTINGS, 2, CPU, torch.float32)
    assert all(value.is_meta for value in meta.module.parameters())
    assert parameters(meta.module) == parameters(real.module)
    assert trained_parameters(meta.module) == trained_parameters(real.module)
    assert {k: v.shape for k, v in meta.batch.items()} == {
        k: v.shape for k, v in real.batch.items()
    }
    assert real.loss().isfinite()


def test_adapters_are_counted_by_formula():
    bare = replace(SETTINGS, also=())
    work = works.telling(tiny_shapes(), bare, 1, META, torch.float32)
    assert trained_parameters(work.module) == lora_parameters(SIZES, 4)


def test_kept_bytes_are_what_autograd_keeps():
    """A chain whose kept tensors are known: inputs of products, and of the ReLU its output."""
    net = nn.Sequential(torch_ops.Linear(8, 16), nn.ReLU(), torch_ops.Linear(16, 4)).to("meta")
    x = torch.empty(10, 8, device="meta")
    cost = cost_of(net, lambda: net(x).sum())
    assert cost.kept == 4 * (10 * 8 + 10 * 16)
    assert cost.forward == 2 * 10 * (8 * 16 + 16 * 4)
    assert cost.backward == cost.forward * 2 - 2 * 10 * 8 * 16  # nobody asks for x's gradient


def test_checkpointing_keeps_inputs_and_the_largest_unit():
    layers = [
        nn.Sequential(torch_ops.Linear(8, 32), nn.ReLU(), torch_ops.Linear(32, 8)) for _ in range(5)
    ]
    net = nn.Sequential(*layers).to("meta")
    x = torch.empty(10, 8, device="meta")
    cost = cost_of(net, lambda: net(x).sum(), list(net))
    inputs, inside = 4 * 10 * 8, 4 * 10 * 32
    assert cost.kept == 5 * (inputs + inside)
    assert cost.kept_checkpointed == 5 * inputs + inside
    assert cost.recomputed == cost.forward


def test_attention_is_counted_without_scores():
    q = torch.empty(2, 3, 50, 8, device="meta", requires_grad=True)
    holder = nn.Identity()
    cost = cost_of(holder, lambda: F.scaled_dot_product_attention(q, q, q).sum())
    assert cost.forward == 2 * 2 * 2 * 3 * 50 * 50 * 8
    assert cost.kept == 2 * 4 * 2 * 3 * 50 * 8  # q (thrice the same) and the output


def test_estimate_of_a_tiny_world_sums_up(tiny_world):
    made = estimate(tiny_world, SETTINGS, 20, 10, 12, CPU, ROOMY)
    names = [step.name for step in made.steps]
    assert names == [
        "rehearsal", "encoding", "LLM", "features told", "de-tokenizer", "VAE decoder", "new world",
    ]  # fmt: skip
    assert not made.frugal and not made.problems(SETTINGS)
    told = made.steps[2]
    assert told.gradients == 4 * told.trained and told.optimiser == 8 * told.trained
    assert told.weights == 4 * told.parameters + 8 * told.trained  # their average, and the base
    assert told.activations > 0 and told.operations > 0
    assert all(step.seconds > 0 for step in made.steps)
    table = made.table()
    assert all(name in table for name in names) and f"{told.trained:,}" in table


def test_settings_change_the_steps(tiny_world):
    bare = replace(SETTINGS, replay=0, paint_steps=0, draw_steps=0)
    made = estimate(tiny_world, bare, 20, 10, 12, CPU, ROOMY, probe=False)
    assert [step.name for step in made.steps] == ["encoding", "LLM", "new world"]


def test_an_llm_that_reads_its_own_answers_takes_longer(tiny_world):
    options = {"stages": {"llm": {"options": {"self_fed": 0.5}}}}
    fed = replace(tiny_world, provenance={"recipe": options})
    plain, twice = (
        estimate(world, SETTINGS, 20, 10, 12, CPU, ROOMY, probe=False).steps[2]
        for world in (tiny_world, fed)
    )
    assert 1.2 * plain.operations < twice.operations < 1.5 * plain.operations
    assert twice.activations < 1.1 * plain.activations  # the first telling keeps nothing


def test_what_does_not_fit_is_said_with_a_way_out():
    step = Step("LLM", weights=10 << 30, gradients=1 << 30, optimiser=2 << 30, activations=1)
    made = Estimate((step,), frugal=False, device="cuda", memory=8 << 30, disk=0)
    (memory,) = made.problems(SETTINGS)
    assert "15.3 GB" in memory  # 1.1 times 13 GB, and 1000 MB before any weight
    assert "8.0 GB" in memory and "--frugal" in memory and "--rank" in memory
    full = Estimate((replace(step, disk=5),), frugal=True, device="cpu", memory=1 << 40, disk=4)
    assert "disk" in full.problems(SETTINGS)[0]


def test_clock():
    assert clock(4000) == "1:06:40" and clock(0) == "0:00:01" and clock(864000) == "10 days"


@pytest.mark.slow
def test_official_counts():
    """The released world, SDXL's whole UNet included, counted without a byte of weights."""
    shapes = Shapes.of(official_world(), 8, 40)
    settings = AdaptSettings(also=())
    told = works.telling(shapes, settings, 1, META, torch.bfloat16)
    adapters = lora_parameters(OFFICIAL, 16)
    assert trained_parameters(told.module) == adapters == 39_976_960
    assert parameters(told.module) == LLM + adapters
    painted = works.painting(shapes, settings, 1, META, torch.bfloat16)
    assert parameters(painted.module) == UNET_SDXL + parameters(painted.module.detokenizer)
    keys = sum(
        value.numel() for name, value in painted.module.unet.named_parameters()
        if value.requires_grad
    )  # fmt: skip
    assert keys == 2 * 2048 * (640 * 10 + 1280 * 60)  # 70 blocks' keys and values


@pytest.mark.slow
def test_official_estimate_on_a_card_that_is_too_small():
    small = replace(ROOMY, ram=8 << 30)
    made = estimate(official_world(), AdaptSettings(), 60, 30, 40, CPU, small, probe=False)
    assert made.frugal
    told = next(step for step in made.steps if step.name == "LLM")
    assert 13e9 < told.weights < 17e9 and told.activations < 3e9
    assert "more memory" in made.problems(AdaptSettings())[0]
