"""A world's own autoencoder as ComfyUI's VAE: its compression, its preview colours, its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...seedstory_core.building import Room, on_meta
from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.painter import palette_vae
from ...seedstory_core.painter.configs import check_config
from ...seedstory_core.painter.palette_vae import PaletteVaeConfig
from ...seedstory_core.parts import check_fit
from ...seedstory_core.world import World
from .palette import load_palette_vae, sharpen_previews
from .parts import read_weights_file

NORM_GROUPS = 32  # fixed in ComfyUI's autoencoder

#: diffusers' names -> ComfyUI's; ``up`` levels are counted from the other end.
RENAMES: tuple[tuple[str, str], ...] = (
    (r"\.down_blocks\.(\d+)\.resnets\.", r".down.\1.block."),
    (r"\.down_blocks\.(\d+)\.downsamplers\.0\.", r".down.\1.downsample."),
    (r"\.up_blocks\.(\d+)\.resnets\.", r".up.<\1>.block."),
    (r"\.up_blocks\.(\d+)\.upsamplers\.0\.", r".up.<\1>.upsample."),
    (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.group_norm\.", ".mid.attn_1.norm."),
    (r"\.mid_block\.attentions\.0\.to_([qkv])\.", r".mid.attn_1.\1."),
    (r"\.mid_block\.attentions\.0\.to_out\.0\.", ".mid.attn_1.proj_out."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
    (r"\.conv_norm_out\.", ".norm_out."),
)


def vae_config(world: World) -> Mapping[str, Any]:
    """``painter.vae`` of a world, its numbers within bounds; empty where it has none.

    Raises:
        SeedStoryError: a setting is out of bounds.
    """
    config = (world.painter or {}).get("vae") or {}
    if config and config.get("kind") != palette_vae.KIND:
        check_config(config, f"World {world.name!r}: its VAE")
    return config


def prepare_previews(latent_format: Any, world: World) -> None:
    """Give a MODEL's latent format what live previews need, where the world's VAE can."""
    config = vae_config(world)
    if config.get("kind") == palette_vae.KIND and "vae" in world.files:
        sharpen_previews(latent_format, PaletteVaeConfig.from_json(config), world.file("vae"))


def load_vae(world: World) -> Any:
    """The VAE of ``world``: a palette VAE, or diffusers' AutoencoderKL.

    Raises:
        SeedStoryError: its configuration or weights do not fit.
    """
    config = vae_config(world)
    if config.get("kind") == palette_vae.KIND:
        return load_palette_vae(PaletteVaeConfig.from_json(config), world.file("vae"))
    return _load_kl(world, config)


def compression(config: Mapping[str, Any]) -> int:
    """Pixels along the side of one latent, of a world's ``painter.vae``; 8 where it has none."""
    if config.get("kind") == palette_vae.KIND:
        return PaletteVaeConfig.from_json(config).factor
    return 2 ** (len(config.get("block_out_channels", (0,) * 4)) - 1)


def preview_factors(config: Mapping[str, Any]) -> tuple[list | None, list | None]:
    """[channels][3] and [3] to turn latents of a world's ``painter.vae`` into colours, if given."""
    if config.get("kind") != palette_vae.KIND:
        return None, None
    checked = PaletteVaeConfig.from_json(config).to_json()
    return checked.get("rgb_factors"), checked.get("rgb_bias")


def _load_kl(world: World, config: Mapping[str, Any]) -> Any:
    import comfy.sd
    from comfy.ldm.models.autoencoder import AutoencoderKL

    found = read_weights_file(world.file("vae"))
    with on_meta(Room.of(found), f"the world's VAE settings and {world.file('vae')}"):
        params = vae_settings(config)
        expected = AutoencoderKL(**params).state_dict()
    levels = len(params["ddconfig"]["ch_mult"])
    state = rename(found, levels)
    check_fit(expected, state, str(world.file("vae")))
    vae = comfy.sd.VAE(sd=state, config={"params": params})
    vae.downscale_ratio = vae.upscale_ratio = 2 ** (levels - 1)
    vae.latent_channels = params["embed_dim"]
    return vae


def vae_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """A diffusers AutoencoderKL configuration as the arguments of ComfyUI's AutoencoderKL."""
    channels = [int(c) for c in config.get("block_out_channels", ())]
    bad = [c for c in channels if c % channels[0] or c % NORM_GROUPS]
    if not channels or bad or config.get("norm_num_groups", NORM_GROUPS) != NORM_GROUPS:
        raise SeedStoryError(
            f"The world's VAE has block_out_channels {channels} in {config.get('norm_num_groups')} "
            f"groups; ComfyUI's needs multiples of the first, in {NORM_GROUPS} groups."
        )
    latent = int(config.get("latent_channels", 4))
    ddconfig = {
        "double_z": True,
        "z_channels": latent,
        "resolution": int(config.get("sample_size", 256)),
        "in_channels": int(config.get("in_channels", 3)),
        "out_ch": int(config.get("out_channels", 3)),
        "ch": channels[0],
        "ch_mult": [c // channels[0] for c in channels],
        "num_res_blocks": int(config.get("layers_per_block", 1)),
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    return {"ddconfig": ddconfig, "embed_dim": latent}


def rename(state: Mapping[str, Tensor], levels: int) -> dict[str, Tensor]:
    """``state`` under ComfyUI's names; unknown names stay, for the check that follows.

    Attention is linear layers in diffusers and 1x1 convolutions in ComfyUI: [O, I] -> [O, I, 1, 1].
    """
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        name = key
        for pattern, replacement in RENAMES:
            name = re.sub(pattern, replacement, name)
        name = re.sub(r"<(\d+)>", lambda found: str(levels - 1 - int(found[1])), name)
        if ".mid.attn_1." in name and value.ndim == 2:
            value = value[:, :, None, None]
        renamed[name] = value
    return renamed
