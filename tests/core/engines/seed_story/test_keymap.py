"""The key maps cover the released files, name by name and shape by shape, without their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from einops import rearrange
from torch import nn

from seedstory_core.engines.seed_story.config import OFFICIAL
from seedstory_core.engines.seed_story.detokenizer import Detokenizer
from seedstory_core.engines.seed_story.keymap import (
    AGENT,
    DETOKENIZER_RESAMPLER,
    QWEN_VL_VISUAL,
    VISUAL_TOKENIZER,
)
from seedstory_core.engines.seed_story.mllm import Mllm
from seedstory_core.engines.seed_story.vision import Vision
from seedstory_core.errors import SeedStoryError
from seedstory_core.weights.keymap import KeyMap

KEYS = Path(__file__).parents[3] / "golden" / "keys"


def official(name: str) -> dict[str, tuple[int, ...]]:
    keys = json.loads((KEYS / f"{name}_keys.json").read_text())["keys"]
    return {key: tuple(shape) for key, shape in keys.items()}


def shapes(kind: Any, config: Any) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        module: nn.Module = kind(config)
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


@pytest.mark.parametrize(
    ("keys", "keymap", "kind", "config"),
    [
        ("mllm", AGENT, Mllm, OFFICIAL),
        ("visual_tokenizer", VISUAL_TOKENIZER, Vision, OFFICIAL.vision),
        ("detokenizer", DETOKENIZER_RESAMPLER, Detokenizer, OFFICIAL.detokenizer),
    ],
)
def test_every_official_key_has_a_place_of_its_shape(
    keys: str, keymap: KeyMap, kind: Any, config: Any
) -> None:
    theirs = official(keys)
    made = {name: r.shape(theirs.__getitem__) for name, r in keymap.recipes(theirs).items()}
    assert made == shapes(kind, config)


def test_the_visual_tokenizer_is_found_inside_qwen_vl() -> None:
    theirs = {
        f"transformer.visual.{key}": shape for key, shape in official("visual_tokenizer").items()
    }
    rest = [
        "transformer.wte.weight",
        "transformer.h.31.attn.c_attn.bias",
        "transformer.h.0.mlp.w1.weight",
        "transformer.ln_f.weight",
        "transformer.rotary_emb.inv_freq",
        "lm_head.weight",
    ]
    recipes = QWEN_VL_VISUAL.recipes([*theirs, *rest])
    made = {name: recipe.shape(theirs.__getitem__) for name, recipe in recipes.items()}
    assert made == shapes(Vision, OFFICIAL.vision)


@pytest.mark.parametrize("keymap", [AGENT, VISUAL_TOKENIZER, DETOKENIZER_RESAMPLER, QWEN_VL_VISUAL])
def test_foreign_keys_are_refused_by_name(keymap: KeyMap) -> None:
    with pytest.raises(SeedStoryError, match="model.diffusion_model.x"):
        keymap.recipes(["model.diffusion_model.x"])


def test_half_a_lora_is_refused() -> None:
    name = "llm.base_model.model.model.layers.0.self_attn.q_proj"
    for given, missing in ((["weight", "lora_A.default.weight"], "up"), (["lora_A.default.weight",
                           "lora_B.default.weight"], "base")):  # fmt: skip
        with pytest.raises(SeedStoryError, match=f"its {missing} part"):
            AGENT.recipes([f"{name}.{kind}" for kind in given])


def test_lora_is_merged_in_fp32_from_halves() -> None:
    name = "llm.base_model.model.model.layers.3.mlp.up_proj"
    torch.manual_seed(0)
    parts = {
        f"{name}.weight": torch.randn(6, 4),
        f"{name}.lora_A.default.weight": torch.randn(2, 4),
        f"{name}.lora_B.default.weight": torch.randn(6, 2),
    }
    halves = {key: value.half() for key, value in parts.items()}
    recipe = AGENT.recipes(halves)["model.layers.3.mlp.up_proj.weight"]
    merged = recipe.make(halves.__getitem__, {"lora_alpha": 32})
    base, down, up = (value.double() for value in halves.values())
    assert merged.dtype == torch.float32
    torch.testing.assert_close(merged.double(), base + 16 * up @ down, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("trailing", [(), (5,)])
def test_braided_rows_become_q_then_k_then_v(trailing: tuple[int, ...]) -> None:
    heads, width = 2, 3
    rows = torch.arange(3 * heads * width)
    braided = rows.reshape(-1, *[1 for _ in trailing]).expand(-1, *trailing)
    kind = "weight" if trailing else "bias"
    key = f"transformer.resblocks.0.attn.in_proj.{kind}"
    recipe = VISUAL_TOKENIZER.recipes([key])[f"blocks.0.attn.qkv.{kind}"]
    got = recipe.make(lambda _: braided, {"heads": heads})
    # SPEC section 1: head h holds rows [3 h d, (3 h + 1) d) as q, the next d as k, the next as v
    want = [
        3 * h * width + part * width + i
        for part in range(3)
        for h in range(heads)
        for i in range(width)
    ]
    assert got.reshape(len(rows), -1)[:, 0].tolist() == want


def test_packed_attention_is_cut_into_thirds() -> None:
    packed = rearrange(torch.arange(18), "(a b) -> a b", b=2)
    recipes = AGENT.recipes(["input_resampler.attn.in_proj_weight"])
    got = [
        recipes[f"input_resampler.{part}_proj.weight"].make(lambda _: packed, {}) for part in "qkv"
    ]
    assert torch.equal(torch.cat(got), packed)
