"""The painter's models for a memory plan: a world's own, or SDXL's, on the meta device."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import torch
from torch import nn

from ..building import LARGEST, within
from ..painter.configs import check_config
from ..painter.loading import SDXL_VAE
from ..painter.palette_vae import KIND, PaletteVae, PaletteVaeConfig
from ..weights.sdxl import UNET_CONFIG
from ..world import World

TILE = 64  # latents along the side of a tile, as ComfyUI's and diffusers' tiled decoding take
FALLBACK_TOKENS = 64  # of a conditioning, where the world's sizes do not say


@dataclass(frozen=True)
class PainterShapes:
    """Configurations and sizes of what paints a world.

    Attributes:
        unet_json, vae_json: diffusers' configurations, or a `PaletteVae`'s.
        size: (width, height) in pixels.
        tokens: of the conditioning.
    """

    unet_json: str
    vae_json: str
    size: tuple[int, int]
    tokens: int

    @classmethod
    def of(cls, world: World, size: tuple[int, int] | None = None) -> PainterShapes:
        """Of a world; what it does not bring is SDXL's."""
        own = world.painter or {}
        for part in ("unet", "vae"):
            if own.get(part) and (part == "unet" or own[part].get("kind") != KIND):
                check_config(own[part], f"World {world.name!r}: its painter's {part} settings")
        tokens = world.sizes.get("detokenizer", {}).get("tokens", FALLBACK_TOKENS)
        return cls(
            unet_json=json.dumps(own.get("unet") or UNET_CONFIG, sort_keys=True),
            vae_json=json.dumps(own.get("vae") or SDXL_VAE, sort_keys=True),
            size=size or world.panel_size,
            tokens=int(tokens),
        )

    @cached_property
    def unet(self) -> Mapping[str, Any]:
        return json.loads(self.unet_json)

    @cached_property
    def vae(self) -> Mapping[str, Any]:
        return json.loads(self.vae_json)

    @property
    def drawn(self) -> bool:
        """Whether the VAE is a `PaletteVae`, which is always exact and never in tiles."""
        return self.vae.get("kind") == KIND

    @property
    def factor(self) -> int:
        """Pixels along the side of one latent."""
        if self.drawn:
            return PaletteVaeConfig.from_json(self.vae).factor
        return 2 ** (len(self.vae["block_out_channels"]) - 1)

    @property
    def latent(self) -> tuple[int, int, int]:
        """Channels, height and width of a picture's latents."""
        width, height = self.size
        return int(self.unet.get("in_channels", 4)), height // self.factor, width // self.factor

    @property
    def tile(self) -> tuple[int, int, int]:
        """The latents of one tile of a decoding in tiles."""
        channels, height, width = self.latent
        return channels, min(height, TILE), min(width, TILE)

    @property
    def upcast(self) -> bool:
        """Whether the VAE decodes in fp32, since halves of numbers overflow or decide wrongly."""
        return self.drawn or bool(self.vae.get("force_upcast"))

    def build(self, part: str) -> nn.Module:
        """``unet`` or ``vae`` on the current default device."""
        diffusers: Any = import_module("diffusers")  # its lazy exports are opaque to type checkers
        with within(LARGEST, f"this world's {part}"):
            if part == "vae" and self.drawn:
                return PaletteVae(PaletteVaeConfig.from_json(self.vae))
            if part == "vae":
                return diffusers.AutoencoderKL.from_config(dict(self.vae))
            return diffusers.UNet2DConditionModel.from_config(dict(self.unet))

    def paint(self, unet: nn.Module, dtype: torch.dtype, batch: int) -> Callable[[], Any]:
        """One step of sampling for ``batch`` latents."""
        config = self.unet
        x = torch.empty(batch, *self.latent, device="meta", dtype=dtype)
        width = int(config["cross_attention_dim"])
        tokens = torch.empty(batch, self.tokens, width, device="meta", dtype=dtype)
        added = None
        if config.get("addition_embed_type") == "text_time":
            times = torch.empty(batch, 6, device="meta", dtype=dtype)
            embedded = 6 * int(config.get("addition_time_embed_dim") or 256)
            pooled = int(config["projection_class_embeddings_input_dim"]) - embedded
            text = torch.empty(batch, pooled, device="meta", dtype=dtype)
            added = {"text_embeds": text, "time_ids": times}
        step = torch.zeros((), device="meta")
        return lambda: unet(x, step, encoder_hidden_states=tokens, added_cond_kwargs=added)

    def decode(self, vae: Any, dtype: torch.dtype, tiled: bool) -> Callable[[], Any]:
        """Latents to pixels."""
        latents = torch.empty(1, *(self.tile if tiled else self.latent), device="meta", dtype=dtype)
        return lambda: vae.decode(latents)
