"""How a host keeps weights, and what it can do where they are too large."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .weights import Weights

MIB, GIB = 1 << 20, 1 << 30


def name_of(dtype: torch.dtype) -> str:
    """``float16``."""
    return str(dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Loading:
    """The ways of one host.

    Attributes:
        dtype: what the engine's parts compute in. ``unet``, ``vae``: what those do; None: as
            ``dtype``.
        stored: the engine's parts keep the precision of their file and are cast as they run.
        leaves: a model leaves when another needs the room.
        streams: layers that do not fit wait in RAM (or in their file) and are brought as they run.
        tiles: the VAE can decode in tiles.
        margin: bytes that the host leaves to others. ``floor``: the least that it keeps free to
            work in while a model loads.
        layers_moving: layers that are on their way at once when some are streamed.
        estimates: the host frees what ComfyUI estimates for a UNet or VAE, whatever it takes.
    """

    dtype: torch.dtype
    unet: torch.dtype | None = None
    vae: torch.dtype | None = None
    stored: bool = False
    leaves: bool = False
    streams: bool = False
    tiles: bool = False
    margin: int = 0
    floor: int = 0
    layers_moving: int = 0
    estimates: bool = False

    def bytes(self, weights: Weights) -> int:
        """What one of the engine's parts takes on the device."""
        return weights.bytes if self.stored else weights.bytes_in(self.dtype)

    def precision(self, weights: Weights) -> str:
        """What its weights are kept in."""
        return weights.precision if self.stored else name_of(self.dtype)

    def cast_bytes(self, weights: Weights, dtype: torch.dtype) -> int:
        """The largest weight in ``dtype``, where weights are cast to it as they run."""
        cast = self.stored and any(kept != dtype for kept, _ in weights.stored)
        return weights.largest * dtype.itemsize if cast else 0

    def buffer_bytes(self, weights: Weights) -> int:
        """Room for the layers that are on their way, when not all weights fit."""
        return self.layers_moving * weights.largest * self.dtype.itemsize if self.streams else 0

    @property
    def unet_dtype(self) -> torch.dtype:
        return self.unet or self.dtype

    def vae_dtype(self, upcast: bool, drawn: bool) -> torch.dtype:
        """What a VAE decodes in; palettes are always decided in fp32."""
        if drawn:
            return torch.float32
        if self.vae is not None:
            return self.vae
        return torch.float32 if upcast and self.dtype == torch.float16 else self.dtype

    def unet_estimate(self, latents: int) -> int:
        """What ComfyUI frees before SDXL samples (comfy/model_base.py, ``memory_required``)."""
        return int(latents * self.unet_dtype.itemsize * 0.008 * MIB) if self.estimates else 0

    def vae_estimate(self, latents: int, dtype: torch.dtype) -> int:
        """What ComfyUI frees before an autoencoder decodes (comfy/sd.py, ``VAE.__init__``)."""
        return 2178 * 64 * latents * dtype.itemsize if self.estimates else 0


def comfy_loading(
    dtype: torch.dtype, unet: torch.dtype = torch.float16, vae: torch.dtype = torch.bfloat16
) -> Loading:
    """ComfyUI's memory management (comfy/model_management.py: ``EXTRA_RESERVED_VRAM``, of which
    Windows' is the larger, and ``minimum_inference_memory``; two streams bring layers)."""
    return Loading(
        dtype=dtype,
        unet=unet,
        vae=vae,
        stored=True,
        leaves=True,
        streams=True,
        tiles=True,
        margin=700 * MIB,
        floor=int(0.8 * GIB),
        layers_moving=3,
        estimates=True,
    )


def library_loading(dtype: torch.dtype, mapped: bool = False) -> Loading:
    """`hosts.LocalPart` and `painter.Painter`: whole models, one phase after the other.

    Args:
        mapped: weights stay in their file and are cast as they run, as on a CPU with little RAM.
    """
    return Loading(dtype=dtype, stored=mapped, streams=mapped)
