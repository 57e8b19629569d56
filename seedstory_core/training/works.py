"""The models of an adaptation with batches of the right shapes, on any device: to count and probe.

Modules are the very ones that are trained; only weights and batches mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from ..engines.seed_story.config import SeedStoryConfig
from ..engines.seed_story.detokenizer import Detokenizer
from ..engines.seed_story.mllm import Mllm
from ..engines.seed_story.vision import Vision
from ..painter.loading import SDXL_VAE
from ..painter.palette_vae import KIND, PaletteVae, PaletteVaeConfig
from ..weights.sdxl import UNET_CONFIG
from ..world import World
from .adapt_modules import choose_painted, choose_told, painter_class
from .adapt_reminded import RemindedTelling
from .adapt_settings import AdaptSettings
from .lora import add_lora

META = torch.device("meta")


@dataclass(frozen=True)
class Shapes:
    """Everything about a world and its data that a count depends on.

    Attributes:
        unet, vae: their configurations. ``own_unet``, ``own_vae``: whether the world brings them.
        panels: of the longest window. ``caption``: tokens of a long caption.
        panel_size: (width, height) in pixels.
    """

    sizes: SeedStoryConfig
    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    own_unet: bool
    own_vae: bool
    panel_size: tuple[int, int]
    panels: int = 8
    caption: int = 40

    @classmethod
    def of(cls, world: World, panels: int, caption: int) -> Shapes:
        """Of a world; what it does not bring is SDXL's."""
        painter = world.painter or {}
        own_unet = "unet" in world.files and bool(painter.get("unet"))
        own_vae = "vae" in world.files and bool(painter.get("vae"))
        return cls(
            sizes=SeedStoryConfig.from_json(world.sizes),
            unet=painter["unet"] if own_unet else UNET_CONFIG,
            vae=painter["vae"] if own_vae else SDXL_VAE,
            scheduler=painter.get("scheduler", {}),
            own_unet=own_unet,
            own_vae=own_vae,
            panel_size=world.panel_size,
            panels=panels,
            caption=caption,
        )

    @property
    def factor(self) -> int:
        """Pixels along the side of one latent."""
        if self.vae.get("kind") == KIND:
            return PaletteVaeConfig.from_json(self.vae).factor
        return 2 ** (len(self.vae["block_out_channels"]) - 1)

    @property
    def latent(self) -> tuple[int, int, int]:
        """Shape of a picture's latents [C, h, w]."""
        width, height = self.panel_size
        return int(self.unet["in_channels"]), height // self.factor, width // self.factor

    @property
    def features(self) -> tuple[int, int]:
        """Shape of a picture's features [L, D]."""
        pool = self.sizes.vision.pool
        return pool.tokens, pool.width


@dataclass(frozen=True, eq=False)
class Work:
    """A module and a batch for it.

    Attributes:
        units: what gradient checkpointing computes again.
    """

    module: nn.Module
    batch: dict[str, Tensor]
    units: tuple[nn.Module, ...] = ()

    def loss(self) -> Tensor:
        return self.module(self.batch)["loss"]

    def step(self) -> None:
        """Forward and backward."""
        self.loss().backward()
        for value in self.module.parameters():
            value.grad = None


#: Makes a `Work` for (shapes, settings, samples, device, dtype).
Builder = Callable[[Shapes, AdaptSettings, int, torch.device, torch.dtype], Work]


def build_unet(config: Mapping[str, Any]) -> Any:
    """diffusers' UNet of this configuration."""
    diffusers: Any = import_module("diffusers")  # its lazy exports are opaque to type checkers
    return diffusers.UNet2DConditionModel.from_config(dict(config))


def build_vae(config: Mapping[str, Any]) -> Any:
    if config.get("kind") == KIND:
        return PaletteVae(PaletteVaeConfig.from_json(config))
    diffusers: Any = import_module("diffusers")
    return diffusers.AutoencoderKL.from_config(dict(config))


def vision(shapes: Shapes, device: torch.device, dtype: torch.dtype) -> Vision:
    with device:
        return Vision(shapes.sizes.vision).to(dtype).requires_grad_(False)


def telling(
    shapes: Shapes, settings: AdaptSettings, count: int, device: torch.device, dtype: torch.dtype
) -> Work:
    """The LLM with its adapters, and ``count`` windows of the longest kind."""
    with device:
        mllm = Mllm(shapes.sizes)
        add_lora(mllm, {"r": settings.rank, "alpha": 2 * settings.rank, "dropout": 0.0})
        choose_told(mllm, settings)
        module = RemindedTelling(mllm).to(dtype)
        batch = _windows(shapes, count, dtype)
    return Work(module, batch, tuple(mllm.model.layers))


def _windows(shapes: Shapes, count: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """A batch as `windows.collate` lays it out, on the current default device."""
    slots, panels = shapes.sizes.image_tokens, shapes.panels
    turn = shapes.caption + slots + 3
    story, answers = 1 + panels * turn, (panels - 1) * slots
    total = story + answers
    rows = count * total

    def whole(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.long)

    return {
        "ids": whole(count, total),
        "positions": whole(count, total),
        "see": torch.ones(count, 1, total, total, dtype=torch.bool),
        "filled": torch.arange(count * panels * slots) % rows,
        "pictures": torch.ones(count * panels, *shapes.features, dtype=dtype),
        "said": whole(count * (panels - 1) * (shapes.caption + 2)),
        "labels": whole(count * (panels - 1) * (shapes.caption + 2)),
        "answers": whole(count * (panels - 1), slots),
        "targets": torch.ones(count * (panels - 1), *shapes.features, dtype=dtype),
    }


def one_row(shapes: Shapes, device: torch.device, dtype: torch.dtype) -> Callable[[], Tensor]:
    """The reading of one token by the LLM, as decoding does for each; without a gradient."""
    with device:
        mllm = Mllm(shapes.sizes).to(dtype).requires_grad_(False)
        row = torch.ones(1, 1, shapes.sizes.llm.width, dtype=dtype)
        position = torch.zeros(1, dtype=torch.long)
    return lambda: mllm.scores(mllm(row, position))


def kept_rows(shapes: Shapes, dtype: torch.dtype) -> int:
    """Bytes of the LLM's keys and values for a window."""
    llm = shapes.sizes.llm
    rows = shapes.panels * (shapes.caption + shapes.sizes.image_tokens + 3)
    return 2 * llm.layers * rows * llm.kv_heads * llm.head_width * dtype.itemsize


def painting(
    shapes: Shapes, settings: AdaptSettings, count: int, device: torch.device, dtype: torch.dtype
) -> Work:
    """De-tokenizer and UNet, and ``count`` pictures."""
    with device:
        detokenizer = Detokenizer(shapes.sizes.detokenizer)
        unet = build_unet(shapes.unet)
    module = painter_class(shapes.scheduler)(
        detokenizer, unet, shapes.scheduler, shapes.panel_size[0]
    )
    choose_painted(module, settings)
    nn.Module.to(module, device, dtype)  # in place; the UNet's own ``to`` warns without need
    with device:
        latents = torch.ones(count, *shapes.latent, dtype=dtype)
        batch = {
            "latents": latents,
            "noise": torch.ones_like(latents),
            "times": torch.zeros(count, dtype=torch.long),
            "features": torch.ones(count, *shapes.features, dtype=dtype),
        }
    return Work(module, batch, tuple(blocks_of(unet)))


def blocks_of(unet: nn.Module) -> Iterator[nn.Module]:
    """What diffusers' gradient checkpointing computes again."""
    from diffusers.models.attention import BasicTransformerBlock
    from diffusers.models.resnet import ResnetBlock2D

    for module in unet.modules():
        if isinstance(module, (BasicTransformerBlock, ResnetBlock2D)):
            yield module
