"""A drawn world's palette VAE as ComfyUI's VAE, in fp32 and always exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...seedstory_core.building import Room, on_meta
from ...seedstory_core.ops import cast_ops
from ...seedstory_core.painter.palette_vae import PaletteVae, PaletteVaeConfig
from ...seedstory_core.parts import PartSpec, load_strict
from .parts import load_module, patcher_class, read_weights_file
from .storage import disk_of

BYTES = 4  # of a number in fp32

#: A VAE that ComfyUI's class can make by itself, so that all its fields are there; thrown away.
PLACEHOLDER = {
    "embed_dim": 4,
    "ddconfig": {
        "double_z": True,
        "z_channels": 4,
        "resolution": 8,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1],
        "num_res_blocks": 1,
        "attn_resolutions": [],
        "dropout": 0.0,
    },
}


def load_palette_vae(config: PaletteVaeConfig, path: Path) -> Any:
    """ComfyUI's VAE around the palette VAE in the file ``path``.

    Raises:
        SeedStoryError: the file is missing or damaged, or does not fit ``config``.
    """
    import comfy.model_management as management

    spec = PartSpec("vae", lambda ops: PaletteVae(config, ops), path)
    module = load_module(spec, torch.float32)
    vae = _vae_class()(
        sd=_placeholder_weights(), config={"params": PLACEHOLDER}, dtype=torch.float32
    )
    vae.first_stage_model = module
    kind, offload = patcher_class(), management.vae_offload_device()
    vae.patcher = kind(
        module, load_device=vae.device, offload_device=offload, **disk_of(kind, path)
    )
    vae.size = None  # newer hosts have measured the placeholder
    vae.working_dtypes = [torch.float32]
    vae.downscale_ratio = vae.upscale_ratio = config.factor
    vae.latent_channels = config.latent_channels
    vae.process_output = exact_colours
    cell = _cell_bytes(config)
    vae.memory_used_decode = lambda shape, dtype: shape[2] * shape[3] * cell
    vae.memory_used_encode = lambda shape, dtype: shape[2] * shape[3] * cell // config.factor**2
    return vae


def sharpen_previews(latent_format: Any, config: PaletteVaeConfig, path: Path) -> None:
    """Let samplers' live previews show the picture itself, by a decoder on the CPU.

    Only newer hosts let a latent format prepare its latents; others mix ``rgb_factors``.
    """
    if not hasattr(latent_format, "latent_rgb_factors_reshape"):
        return
    state = read_weights_file(path)
    with on_meta(Room.of(state), str(path)):
        decoder = PaletteVae(config, cast_ops).eval().requires_grad_(False)
    load_strict(decoder, state, str(path))  # mapped, so it costs no memory
    latent_format.latent_rgb_factors_reshape = lambda x0: decoder.decode(x0[:1].float().cpu())
    latent_format.latent_rgb_factors = torch.eye(3).tolist()
    latent_format.latent_rgb_factors_bias = None


def exact_colours(image: Tensor) -> Tensor:
    """-1..1 -> 0..1, each value the nearest 255th; in place, as newer hosts count on.

    ComfyUI cuts off what is behind the point when it saves: 199.99999 would become 199.
    """
    return image.add_(1).mul_(127.5).round_().clamp_(0, 255).div_(255)


def _cell_bytes(config: PaletteVaeConfig) -> int:
    """What one latent takes up while it is encoded or decoded."""
    outside = 3 * 3 * config.factor**2  # the picture, and copies of it
    inside = config.patch**2 * (2 * len(config.palette) + 2 * config.head_width + 3)
    return BYTES * (outside + inside + 4 * config.width)


def _placeholder_weights() -> dict[str, Tensor]:
    from comfy.ldm.models.autoencoder import AutoencoderKL

    return AutoencoderKL(**PLACEHOLDER).state_dict()


def _vae_class() -> Any:
    """ComfyUI's VAE, without tiles."""
    import comfy.sd

    class WholeVAE(comfy.sd.VAE):
        """Tiles are for decoders that fill the memory; here they would only blend colours."""

        def decode_tiled(self, samples: Tensor, *_tiles: Any, **_sizes: Any) -> Tensor:
            return self.decode(samples)

        def encode_tiled(self, pixel_samples: Tensor, *_tiles: Any, **_sizes: Any) -> Tensor:
            return self.encode(pixel_samples)

    return WholeVAE
