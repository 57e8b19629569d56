"""Stage C of an adaptation: what is painted from true features and from those that the LLM says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..engines.seed_story.config import SeedStoryConfig
from ..engines.seed_story.detokenizer import Detokenizer
from ..engines.seed_story.parts import part_specs
from ..hosts import read_part
from ..painter import open_painter, overlay
from ..parts import load_strict
from ..world import World
from .adapt_data import Lessons
from .adapt_modules import choose_painted, painter_class, train_in_fp32
from .adapt_settings import AdaptSettings
from .adapt_telling import precision
from .cache import Shuffled
from .detokenizer import DetokenizerStage, PainterModule
from .recipe import Recipe
from .stage import generator_of

NAME = "detokenizer"
CHECKED = 32  # pictures of each kind


class PaintStage(DetokenizerStage):
    """`DetokenizerStage` on true and told features, with a share of rehearsed pictures."""

    def __init__(self, *args: Any, told: Tensor, lessons: Lessons, adapt: AdaptSettings) -> None:
        super().__init__(*args, name=NAME)
        self._told, self._lessons, self._adapt = told, lessons, adapt
        self._order = _MixedOrder(lessons, adapt)  # pyright: ignore[reportIncompatibleVariableOverride]

    def features(self, places: Tensor, share: Tensor) -> Tensor:
        """Told features for a share of the pictures, true ones for the others."""
        told = rearrange(share < self._adapt.told, "b -> b 1 1")
        return torch.where(told, self._told[places].float(), self.train.features.take(places))

    @torch.no_grad()
    def check(self, module: nn.Module) -> dict[str, float]:
        """The loss on pictures of each kind from told features, the same noise every time."""
        assert isinstance(module, PainterModule)
        device, new, every = module.shares.device, self._lessons.new, len(self._lessons.stories)
        figures = {}
        for name, first, end in (("new", 0, new), ("rehearsed", new, every)):
            if first == end:
                continue
            draw = generator_of(self.settings.seed, "check", name)
            places = torch.randint(first, end, (CHECKED,), generator=draw)
            shape = (len(places), *self.train.latents.shape)
            batch = {
                "latents": self.train.latents.take(places),
                "noise": torch.randn(shape, generator=draw),
                "times": torch.arange(len(places)) * len(module.shares) // len(places),
                "features": self._told[places].float(),
            }
            losses = []
            for at in range(len(places)):
                one = {key: value[at : at + 1].to(device) for key, value in batch.items()}
                with precision(self.settings, device):
                    losses.append(float(module(one)["loss"]))
            figures[f"{name}_loss"] = sum(losses) / len(losses)
        return figures

    def result(self, module: nn.Module) -> dict[str, Mapping[str, Tensor]]:
        """``{"changes": ...}``: ``detokenizer.*`` and ``unet.*`` that were trained."""
        trained = {name: v for name, v in module.named_parameters() if v.requires_grad}
        return {"changes": trained}


class _MixedOrder:
    """New pictures and rehearsed ones, each kind shuffled by itself."""

    def __init__(self, lessons: Lessons, settings: AdaptSettings) -> None:
        self._new = Shuffled(lessons.new, settings.seed, NAME, "new")
        self._first = lessons.new
        share = settings.share if lessons.rehearsed else 0.0
        self._rehearsed = Shuffled(max(1, lessons.rehearsed), settings.seed, NAME, "rehearsed")
        self._count = round(share * settings.paint_batch)

    def take(self, step: int, batch: int) -> Tensor:
        """The places of batch number ``step``, int64 [batch]."""
        old = min(self._count, batch - 1)
        new = self._new.take(step, batch - old)
        return torch.cat((new, self._first + self._rehearsed.take(step, old))) if old else new


def open_painting(
    world: World,
    config: SeedStoryConfig,
    settings: AdaptSettings,
    frugal: bool,
    patch: Mapping[str, Tensor],
    base: Path | None = None,
) -> PainterModule:
    """The world's de-tokenizer and UNet, to be trained.

    Args:
        patch: `Engine.unet_patch` of the world.
    """
    spec = next(spec for spec in part_specs(world, config) if spec.name == "detokenizer")
    with torch.device("meta"):
        pen = Detokenizer(config.detokenizer)
    load_strict(pen, read_part(spec), str(spec.weights))
    dtype = torch.bfloat16 if frugal else torch.float32
    painter = open_painter(world, base, dtype=dtype)
    unet = painter.unet
    overlay(unet, patch, str(base or world.root))
    kind = painter_class(painter.scheduler)
    module = kind(pen, unet, painter.scheduler, world.panel_size[0])
    nn.Module.to(module, dtype=dtype)  # in place; the UNet's own ``to`` warns without need
    module.shares, module.time_ids = module.shares.float(), module.time_ids.float()
    choose_painted(module, settings)
    train_in_fp32(module)
    if frugal:
        unet.enable_gradient_checkpointing()
    return module


def painting_recipe(world: World, config: SeedStoryConfig) -> Recipe:
    """What `DetokenizerStage` asks a recipe for."""
    painter = world.painter or {}
    return Recipe(config, {}, dict(painter.get("unet", {})), dict(painter.get("scheduler", {})), {})
