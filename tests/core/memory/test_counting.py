"""Bytes held at once: literal small cases, and the real classes on both devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from seedstory_core.context import Block, Dense, MultimodalSink, Window
from seedstory_core.engines.seed_story.memory import Memory
from seedstory_core.kv_cache import KvCache
from seedstory_core.memory import Phase, Run, budget, library_loading
from seedstory_core.memory.counting import LiveBytes, working_bytes
from seedstory_core.memory.models import unet_pass, vae_pass
from seedstory_core.memory.painting import PainterShapes
from seedstory_core.world import World, load_world

META = torch.device("meta")


@pytest.fixture(scope="module")
def world() -> World:
    return load_world(Path(__file__).parents[3] / "worlds" / "picture-world")


def test_what_is_freed_no_longer_counts() -> None:
    def run() -> None:
        first = torch.empty(1000, device=META)  # 4000
        second = first + 1  # 8000
        del first
        third = second.half()  # 4000 + 2000
        del second
        torch.empty(500, device=META).add_(1)  # 2000 + 2000
        third.view(10, 100).t()

    assert working_bytes(run) == 8000


def test_views_and_in_place_are_free_and_a_storage_counts_once() -> None:
    with LiveBytes() as ledger:
        base = torch.zeros(100)
        parts = base.chunk(2)
        base.mul_(2)
        both = torch.cat(parts)
    assert (ledger.now, ledger.most) == (800, 800)
    del base, parts
    assert ledger.now == 400 and both.numel() == 100


def test_attention_keeps_no_scores() -> None:
    def run() -> None:
        q = torch.empty(1, 2, 50, 8, device=META)  # 3200 bytes
        mask = torch.empty(50, 50, dtype=torch.bool, device=META)
        F.scaled_dot_product_attention(q, q, q, attn_mask=mask)

    assert working_bytes(run) == 3200 + 2500 + 10000 + 3200  # q, mask, mask as numbers, the answer


def test_the_count_on_the_meta_device_is_that_of_a_real_run(world: World) -> None:
    """Every part of Picture World: within 15 % of what the same pass holds on the CPU, where
    attention keeps a little more."""
    memory = Memory.of(world.sizes)
    for part in ("vision", "llm", "detokenizer"):
        with META:
            ghost = memory.build(part)
        module = memory.build(part).eval().requires_grad_(False)
        counted = working_bytes(memory.run(part, ghost, torch.float32, 200))
        with torch.inference_mode(), LiveBytes() as ledger:
            _real_pass(part, module, memory)
        assert counted == pytest.approx(ledger.most, rel=0.15), part


def _real_pass(part: str, module: torch.nn.Module, memory: Memory) -> None:
    """What `Memory.run` does, on the CPU."""
    config = memory.config
    if part == "vision":
        module(torch.zeros(1, 3, config.vision.image_size, config.vision.image_size))
    elif part == "detokenizer":
        module(torch.zeros(1, config.vision.pool.tokens, config.vision.pool.width))
    else:
        hidden = module(torch.zeros(1, 200, config.llm.width), torch.arange(200))
        module.scores(hidden[0, -1:])
        module.output_resampler(hidden[:, -config.image_tokens :])


def test_kept_bytes_are_those_of_the_cache(world: World) -> None:
    memory = Memory.of(world.sizes)
    llm = memory.config.llm
    cache = KvCache(llm.layers)
    rows = torch.zeros(1, llm.kv_heads, 512, llm.head_width)
    for layer in range(llm.layers):
        cache.append(layer, rows, rows)
    assert memory.kept_bytes(512, torch.float32, Window(8)) == cache.nbytes


def test_rows_follow_the_policy(world: World) -> None:
    """65 rows a panel: 54 of words, 9 of the picture and its two marks; 500 new ones."""

    def rows(policy: object, **how: int) -> int:
        run = Run(context=policy, caption=54, paint=False, **how)  # type: ignore[arg-type]
        return budget(world, run, library_loading(torch.float32)).rows

    assert rows(Window(8)) == 1 + 8 * 65 + 500
    assert rows(Window(8), panels=3) == 1 + 2 * 65 + 500
    assert rows(Block(8, 4)) == rows(Window(8))
    assert rows(Dense()) == 4096  # the model's positions
    assert rows(Dense(), panels=20) == 1 + 19 * 65 + 500
    assert rows(MultimodalSink(window=4, cap=10)) == 4 + 10 * 24 + 4 * 65 + 500
    assert rows(Window(8), new_tokens=20) == 1 + 9 * 65  # a panel of the longest kind at least


def test_stories_told_at_once_have_rows_of_their_own(world: World) -> None:
    def tell(stories: int, **how: Any) -> Phase:
        run = Run(stories=stories, paint=False, **how)
        return budget(world, run, library_loading(torch.float32)).phases[1]

    one, four = tell(1), tell(4)
    assert four.kept == 4 * one.kept and four.weights == one.weights
    assert tell(20).kept == 8 * one.kept  # more are told batch by batch
    sink = {"context": MultimodalSink()}
    assert tell(4, **sink).kept == tell(1, **sink).kept  # one after the other


def test_a_reindexing_sink_keeps_its_keys_twice(world: World) -> None:
    memory, rows = Memory.of(world.sizes), 256
    plain = memory.kept_bytes(rows, torch.float16, MultimodalSink(positions="original"))
    assert memory.kept_bytes(rows, torch.float16, MultimodalSink()) == 3 * plain // 2


def test_painting_is_counted_as_it_really_runs(world: World) -> None:
    """Picture World's UNet and palette VAE, within 15 % of the same passes on the CPU."""
    shapes = PainterShapes.of(world)
    channels, height, width = shapes.latent
    unet: Any = shapes.build("unet").eval().requires_grad_(False)
    vae: Any = shapes.build("vae").eval().requires_grad_(False)
    added = {"text_embeds": torch.zeros(2, 128), "time_ids": torch.zeros(2, 6)}
    x, tokens = torch.zeros(2, channels, height, width), torch.zeros(2, shapes.tokens, 256)
    step = torch.zeros(())
    with torch.inference_mode(), LiveBytes() as ledger:
        unet(x, step, encoder_hidden_states=tokens, added_cond_kwargs=added)
    assert unet_pass(shapes, torch.float32, 2) == pytest.approx(ledger.most, rel=0.15)
    with torch.inference_mode(), LiveBytes() as ledger:
        vae.decode(x[:1])
    assert vae_pass(shapes, torch.float32, tiled=False) == pytest.approx(ledger.most, rel=0.15)
