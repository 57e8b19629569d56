"""Official SEED-Story files to a world folder, one file after the other, each whole or absent.

Every input may come in a call of its own. A finished output is recognised by what its header says
it was made from and is not made again; world.json appears when everything is there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .... import held
from ....errors import SeedStoryError
from ....files import atomic_write_bytes, sweep_parts
from ....parts import check_fit
from ....types import Progress, no_progress
from ....weights.keymap import KeyMap, Recipe, Shape
from ....weights.outputs import Output, is_finished, told_by
from ....weights.sdxl import UNET_CONFIG
from ....weights.sources import Source
from ....weights.stream import TensorSpec
from ..keymap import AGENT, QWEN_VL_VISUAL, VISUAL_TOKENIZER
from ..mllm import Mllm
from ..prompt import Vocabulary
from ..tokenizer import Tokenizer
from ..vision import Vision
from .sizes import Sizes, filled, llm_sizes, vision_sizes

log = logging.getLogger(__name__)

FORMAT = 1  # of what is written; a change makes old outputs count as unfinished
LLM, VISION, DETOKENIZER = "llm.safetensors", "vision.safetensors", "detokenizer.safetensors"
UNET, TOKENIZER = "unet.safetensors", "tokenizer"
TOKENIZER_FILES: Mapping[str, str] = {
    "tokenizer.model": "tokenizer.model",
    "tokenizer.added_tokens": "added_tokens.json",
    "tokenizer.config": "tokenizer_config.json",
    "tokenizer.special_tokens_map": "special_tokens_map.json",
}
_QWEN_PREFIX = "transformer.visual."


@dataclass(frozen=True)
class Options:
    """How to convert.

    Attributes:
        dtype: what weights are stored in.
        lora_alpha: PEFT's alpha of the agent; its rank is in the shapes.
        sizes: what shapes do not tell (`sizes.py`), in the form of world.json's ``sizes``.
        unet_config: diffusers configuration of the de-tokenizer's UNet.
    """

    dtype: torch.dtype = torch.float16
    lora_alpha: float = 32.0
    sizes: Mapping[str, Any] = field(default_factory=dict)
    unet_config: Mapping[str, Any] = field(default_factory=lambda: dict(UNET_CONFIG))

    def recipe(self, kind: str, **more: Any) -> dict[str, Any]:
        """The part of an output's recipe that these options decide."""
        return {
            "format": FORMAT,
            "kind": kind,
            "dtype": str(self.dtype).removeprefix("torch."),
            "sizes": dict(self.sizes),
            **more,
        }


def convert_tokenizer(world: Path, source: Path) -> bool:
    """Copy a tokenizer folder after trying it; False when the same is there already.

    Raises:
        SeedStoryError: files are missing, or it is a tokenizer without picture tokens.
    """
    tokenizer = Tokenizer.from_folder(source)
    slots = sum(token.startswith("<img_") for token in tokenizer.added)
    Vocabulary(tokenizer, max(1, slots), len(tokenizer))
    contents = {
        name: (source / name).read_bytes()
        for name in TOKENIZER_FILES.values()
        if (source / name).is_file()
    }
    here = {
        name: (world / TOKENIZER / name).read_bytes()
        for name in TOKENIZER_FILES.values()
        if (world / TOKENIZER / name).is_file()
    }
    if here == contents:
        return False
    unfinish(world)
    for name in here.keys() - contents.keys():
        held.unlink(world / TOKENIZER / name)
    for name, content in contents.items():
        atomic_write_bytes(world / TOKENIZER / name, content)
    return True


def convert_agent(
    world: Path, path: Path, options: Options, progress: Progress = no_progress
) -> bool:
    """The agent's checkpoint -> llm.safetensors; False when it is there already.

    LoRA is merged in fp32 and stored in ``options.dtype``; norms are the trained copies.
    """
    source = Source.open(path)
    told = source.describe()
    recipe = options.recipe("agent", source=told["fingerprint"], lora_alpha=options.lora_alpha)
    if is_finished(world / LLM, recipe):
        return False
    recipes = source.recipes(AGENT)
    _check_lora(recipes, source)
    shapes, sizes = planned(source, recipes, llm_sizes, options)
    if (world / TOKENIZER / "tokenizer.model").is_file():
        config = filled(sizes)
        tokenizer = Tokenizer.from_folder(world / TOKENIZER)
        Vocabulary(tokenizer, config.image_tokens, config.llm.vocab)
    fits(lambda: Mllm(filled(sizes)), shapes, source)
    numbers = {"lora_alpha": options.lora_alpha}
    facts = {"sizes": sizes, "source": told, "lora_alpha": options.lora_alpha}
    _write(world / LLM, source, recipes, shapes, numbers, recipe, facts, options, progress)
    return True


def convert_visual(
    world: Path, path: Path, options: Options, progress: Progress = no_progress
) -> bool:
    """The visual tokenizer, alone or inside Qwen-VL-Chat's shards -> vision.safetensors.

    False when it is there already.
    """
    source = Source.open(path)
    told = source.describe()
    recipe = options.recipe("visual", source=told["fingerprint"])
    if is_finished(world / VISION, recipe):
        return False
    inside_qwen = any(key.startswith(_QWEN_PREFIX) for key in source.checkpoint.keys())
    keymap: KeyMap = QWEN_VL_VISUAL if inside_qwen else VISUAL_TOKENIZER
    recipes = source.recipes(keymap)
    shapes, sizes = planned(source, recipes, vision_sizes, options)
    config = filled(sizes).vision
    fits(lambda: Vision(config), shapes, source)
    facts = {"sizes": sizes, "source": told}
    numbers = {"heads": float(config.heads)}
    _write(world / VISION, source, recipes, shapes, numbers, recipe, facts, options, progress)
    return True


def planned(
    source: Source,
    recipes: Mapping[str, Recipe],
    sizes_of: Callable[[Mapping[str, Shape], Mapping[str, Any]], Sizes],
    options: Options,
) -> tuple[dict[str, Shape], Sizes]:
    """Shapes of what will be written, and the sizes they tell; reads no weights."""
    try:
        shapes = {name: recipe.shape(source.checkpoint.shape) for name, recipe in recipes.items()}
        return shapes, sizes_of(shapes, options.sizes)
    except SeedStoryError:
        raise
    except (KeyError, IndexError, ValueError) as error:
        raise SeedStoryError(
            f"{source.path} does not have the tensors of this kind of file, or in other shapes: "
            f"{error}. Is it the right file, and whole?"
        ) from error


def fits(build: Callable[[], nn.Module], shapes: Mapping[str, Shape], source: Source) -> None:
    """Refuse a file whose tensors are not just those of the model, by name."""
    with torch.device("meta"):
        own = build().state_dict()
        check_fit(
            own, {name: torch.empty(shape) for name, shape in shapes.items()}, str(source.path)
        )


def unfinish(world: Path) -> None:
    """Take world.json away before a file of the world changes: half-changed is no world."""
    held.unlink(world / "world.json")
    sweep_parts(world)


def _write(
    target: Path,
    source: Source,
    recipes: Mapping[str, Recipe],
    shapes: Mapping[str, Shape],
    numbers: Mapping[str, float],
    recipe: Mapping[str, Any],
    facts: Mapping[str, Any],
    options: Options,
    progress: Progress,
) -> None:
    specs = {name: TensorSpec(shape, options.dtype) for name, shape in shapes.items()}
    unfinish(target.parent)
    Output(
        target,
        specs,
        lambda name: recipes[name].make(source.checkpoint.tensor, numbers),
        recipe,
        facts,
    ).write(progress)
    log.info("%s is written", target)


def _check_lora(recipes: Mapping[str, Recipe], source: Source) -> None:
    """Adapters must fit their base before anything is written."""
    shape = source.checkpoint.shape
    for recipe in recipes.values():
        if "up" not in recipe.sources:
            continue
        base, up, down = (shape(recipe.sources[role]) for role in ("base", "up", "down"))
        if len(up) != 2 or len(down) != 2 or (up[0], down[1]) != base or up[1] != down[0]:
            raise SeedStoryError(
                f"{source.path}: the LoRA of {recipe.target} does not fit: base {base}, "
                f"lora_A {down}, lora_B {up}."
            )


def missing_inputs(world: Path) -> list[str]:
    """Options of ``convert`` that the world still needs."""
    wanted = (("--agent", LLM), ("--visual", VISION), ("--detokenizer", DETOKENIZER))
    missing = [option for option, name in wanted if told_by(world / name) is None]
    model = world / TOKENIZER / "tokenizer.model"
    return missing if model.is_file() else ["--tokenizer", *missing]
