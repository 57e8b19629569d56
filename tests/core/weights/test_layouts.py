"""Conversion plans of the real layouts, on shapes alone: every key covered, sizes right."""

import json
from collections.abc import Iterator
from math import prod
from pathlib import Path

import pytest
import torch

from seedstory_core.engines.seed_story.config import OFFICIAL
from seedstory_core.engines.seed_story.conversion.detokenizer import _Unet
from seedstory_core.engines.seed_story.conversion.inputs import Options, planned
from seedstory_core.engines.seed_story.conversion.sizes import (
    detokenizer_sizes,
    filled,
    llm_sizes,
    vision_sizes,
)
from seedstory_core.engines.seed_story.keymap import (
    AGENT,
    DETOKENIZER_RESAMPLER,
    QWEN_VL_VISUAL,
    VISUAL_TOKENIZER,
)
from seedstory_core.errors import SeedStoryError
from seedstory_core.weights import sdxl
from seedstory_core.weights.sources import Source

KEYS = Path(__file__).parents[2] / "golden" / "keys"


class Shapes:
    """A checkpoint that knows only names and shapes."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.path = Path("official.bin")
        self.shapes = shapes

    def keys(self) -> list[str]:
        return list(self.shapes)

    def shape(self, key: str) -> tuple[int, ...]:
        return self.shapes[key]

    def dtype(self, key: str) -> torch.dtype:
        return torch.float16

    def tensor(self, key: str) -> torch.Tensor:
        return torch.empty(self.shapes[key], device="meta", dtype=torch.float16)


def recorded(name: str) -> dict[str, tuple[int, ...]]:
    keys = json.loads((KEYS / f"{name}_keys.json").read_text())["keys"]
    return {key: tuple(shape) for key, shape in keys.items()}


def source(shapes: dict[str, tuple[int, ...]]) -> Source:
    return Source(Path("official.bin"), Shapes(shapes), ())


def test_sizes_of_the_released_files_are_the_official_ones():
    agent, visual, detok = (
        source(recorded(name)) for name in ("mllm", "visual_tokenizer", "detokenizer")
    )
    sizes: dict = {}
    for one, keymap, sizes_of in (
        (agent, AGENT, llm_sizes),
        (visual, VISUAL_TOKENIZER, vision_sizes),
        (detok, DETOKENIZER_RESAMPLER, detokenizer_sizes),
    ):
        sizes |= planned(one, one.recipes(keymap), sizes_of, Options())[1]
    assert filled(sizes) == OFFICIAL


def test_the_merged_llm_has_the_base_weights_and_nothing_of_lora():
    shapes = recorded("mllm")
    one = source(shapes)
    planned_shapes, _ = planned(one, one.recipes(AGENT), llm_sizes, Options())
    kept = {
        key: shape
        for key, shape in shapes.items()
        if not any(part in key for part in ("lora_", "original_module", "inv_freq"))
    }
    assert sum(map(prod, planned_shapes.values())) == sum(map(prod, kept.values()))
    assert sum(map(prod, planned_shapes.values())) * 2 < 14 << 30


def test_qwen_vl_chat_gives_the_same_plan():
    visual = recorded("visual_tokenizer")
    inside = {f"transformer.visual.{key}": shape for key, shape in visual.items()}
    language = {"transformer.wte.weight": (151936, 4096), "lm_head.weight": (151936, 4096)}
    language["transformer.h.31.attn.c_attn.bias"] = (12288,)
    alone, chat = source(visual), source({**inside, **language})
    assert planned(alone, alone.recipes(VISUAL_TOKENIZER), vision_sizes, Options()) == planned(
        chat, chat.recipes(QWEN_VL_VISUAL), vision_sizes, Options()
    )


def test_the_unet_is_sdxl_key_by_key():
    detok = recorded("detokenizer")
    official = json.loads((KEYS / "detokenizer_keys.json").read_text())
    assert dict(sdxl.UNET_CONFIG) == official["unet_config"]
    unet = _Unet.of(source(detok), Options(), whole=True)
    assert len(unet.shapes) == 1680
    assert sum(map(prod, unet.shapes.values())) == official["num_params_unet"]
    assert set(official["trainable_unet_keys"]) <= {f"unet.{name}" for name in unet.shapes}


def ldm_names() -> Iterator[tuple[str, str]]:
    """(ldm key, diffusers key) for the whole UNet, by the tables turned round."""
    layers = {new: old for old, new in sdxl.LAYERS.items()}
    blocks = {new: old for old, new in sdxl.BLOCKS.items()}
    residual = {new: old for old, new in sdxl.RESIDUAL.items()}
    for key in recorded("detokenizer"):
        if not key.startswith("unet."):
            continue
        name = key.removeprefix("unet.")
        layer, _, kind = name.rpartition(".")
        if layer in layers:
            yield f"{layers[layer]}.{kind}", name
            continue
        head = next(new for new in blocks if layer.startswith(f"{new}."))
        rest = layer.removeprefix(f"{head}.")
        yield f"{blocks[head]}.{residual.get(rest, rest)}.{kind}", name


def test_ldm_names_cover_the_whole_unet_one_to_one():
    pairs = dict(ldm_names())
    assert len(pairs) == 1680 and len(set(pairs.values())) == 1680
    assert all(sdxl.diffusers_name(old) == new for old, new in pairs.items())
    whole = [f"model.diffusion_model.{key}" for key in pairs]
    others = ["first_stage_model.decoder.conv_in.weight", "conditioner.embedders.0.x"]
    assert sdxl.unet_names([*others, *whole]) == {
        new: f"model.diffusion_model.{old}" for old, new in pairs.items()
    }


def test_ldm_names_agree_with_the_converter_of_diffusers():
    single_file = pytest.importorskip("diffusers.loaders.single_file_utils")
    pairs = dict(ldm_names())
    marked = {f"model.diffusion_model.{old}": new for old, new in pairs.items()}
    assert single_file.convert_ldm_unet_checkpoint(marked, dict(sdxl.UNET_CONFIG)) == {
        new: new for new in pairs.values()
    }


@pytest.mark.parametrize("key", ["input_blocks.9.0.x.weight", "output_blocks.0.0.y.bias", "z"])
def test_names_that_are_none_of_sdxl(key: str):
    assert sdxl.diffusers_name(key) is None
    with pytest.raises(SeedStoryError, match="holds no SDXL UNet"):
        sdxl.unet_names([key])
