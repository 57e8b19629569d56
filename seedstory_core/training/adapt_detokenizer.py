"""Stage 3: the de-tokenizer gets used to the features that the LLM says (SPEC 6).

Source: train_sdxl_img2img_llm.py of SEED-Story.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor

from ..engines.seed_story.detokenizer import Detokenizer
from ..errors import SeedStoryError
from ..parts import load_strict
from .cache import Rows
from .data import open_data
from .detokenizer import (
    NAME as DETOKENIZER,
)
from .detokenizer import (
    DetokenizerStage,
    PainterModule,
    held_out_splits,
    new_unet,
    pairs_of,
)
from .encoded import enlargement, frozen, open_vision, zero_features
from .recipe import Recipe
from .stage import Job
from .told import told_features
from .vae import open_vae

NAME = "adapt-detokenizer"
KEYS_AND_VALUES = ("to_k.weight", "to_v.weight")
TRAIN = ("kv", "all")


class AdaptStage(DetokenizerStage):
    """`DetokenizerStage` on a mixture of true and told features.

    Args (beside those of `DetokenizerStage`):
        told: told features of the training pictures. ``told_held_out``: of the held-out ones.
    """

    def __init__(self, *args: Any, told: Rows, told_held_out: Rows | None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._told, self._told_held_out = told, told_held_out
        self._share = self.settings.option("told", 0.5)

    def features(self, places: Tensor, share: Tensor) -> Tensor:
        """Told features for a share of the pictures, true ones for the others."""
        told = rearrange(share < self._share, "b -> b 1 1")
        return torch.where(told, self._told.take(places), self.train.features.take(places))

    def held_out_features(self, places: Tensor) -> Tensor:
        """Told features."""
        if self._told_held_out is None:
            return super().held_out_features(places)
        return self._told_held_out.take(places)


def open_painter_module(
    recipe: Recipe, detokenizer: dict[str, Tensor], unet: dict[str, Tensor], side: int
) -> PainterModule:
    """Trained de-tokenizer and UNet to be trained on."""
    pen, brush = Detokenizer(recipe.sizes.detokenizer), new_unet(recipe)
    load_strict(pen, detokenizer, "detokenizer.safetensors")
    load_strict(brush, unet, "unet.safetensors")
    return PainterModule(pen, brush, recipe.scheduler, side)


def choose_trained(module: PainterModule, which: str) -> None:
    """Keep gradients for the de-tokenizer and the UNet's keys and values, or for ``all``.

    Raises:
        SeedStoryError: another word.
    """
    if which not in TRAIN:
        raise SeedStoryError(f"Stage {NAME!r} trains {' or '.join(TRAIN)}, not {which!r:.80}.")
    for name, value in module.unet.named_parameters():
        value.requires_grad_(which == "all" or name.endswith(KEYS_AND_VALUES))


def build(job: Job) -> AdaptStage:
    """Stage 3 for a run whose stages 1 and 2 have ended."""
    settings = job.settings(NAME)
    stories = open_data(job.data, "train")
    stride = settings.option("stride", 0)
    told = told_features(job, stories, stride)
    splits = held_out_splits(job, settings)
    held_out = [pairs_of(job, split) for split in splits]
    told_held_out = [told_features(job, open_data(job.data, split), stride) for split in splits]
    module = open_painter_module(
        job.recipe,
        load_file(job.result(DETOKENIZER, "detokenizer")),
        load_file(job.result(DETOKENIZER, "unet")),
        job.recipe.native_size * enlargement(job),
    )
    choose_trained(module, settings.option("train", TRAIN[0]))
    return AdaptStage(
        module,
        settings,
        job.recipe,
        pairs_of(job, "train"),
        zero_features(open_vision(job), job.recipe.sizes)[0].cpu(),
        held_out[0] if held_out else None,
        frozen(open_vae(job), job),
        NAME,
        told=told,
        told_held_out=told_held_out[0] if told_held_out else None,
    )
