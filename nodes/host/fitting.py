"""Whether a MODEL and a VAE are those that a world paints with, told from their sizes alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...seedstory_core.engine import Engine
from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.world import World
from .vae import compression

#: What a world that changes an SDXL base is painted with.
SDXL_CONTEXT = 2048
SDXL_POOLED = 2816
SDXL_LATENTS = 4
PREFIX = "diffusion_model."
MARK = "seedstory_world"  # on a MODEL that carries a world's weights: whose


def check_model(model: Any, world: World) -> None:
    """A MODEL of another kind than the world's own painter, or than SDXL, is named.

    Raises:
        SeedStoryError: its prompts, its pooled vector or its latents have other sizes.
    """
    unet = (world.painter or {}).get("unet", {})
    small = bool(unet) and unet.get("addition_embed_type") != "text_time"
    pooled = unet.get("projection_class_embeddings_input_dim", SDXL_POOLED)
    config = model.model.model_config.unet_config
    expected = {
        "channels of its prompts": unet.get("cross_attention_dim", SDXL_CONTEXT),
        "channels of its pooled vector": None if small else pooled,
        "channels of its latents": unet.get("in_channels", SDXL_LATENTS),
    }
    got = {
        "channels of its prompts": config.get("context_dim"),
        "channels of its pooled vector": config.get("adm_in_channels"),
        "channels of its latents": model.get_model_object("latent_format").latent_channels,
    }
    if unet.get("block_out_channels"):
        expected["channels of its first level"] = unet["block_out_channels"][0]
        got["channels of its first level"] = config.get("model_channels")
    wrong = [name for name in expected if got[name] != expected[name]]
    if wrong:
        sizes = ", ".join(f"{expected[name]} {name} and got {got[name]}" for name in wrong)
        raise SeedStoryError(
            f"This MODEL is not what world {world.name!r} paints with: expected {sizes}. Connect "
            f"{painter_name(world)}."
        )


def check_vae(vae: Any, world: World) -> None:
    """A VAE of other latents than the world's painter makes is named.

    Raises:
        SeedStoryError: its latents have other channels, or stand for more or fewer pixels.
    """
    painter = world.painter or {}
    config = painter.get("vae") or {}
    expected = (
        painter.get("unet", {}).get("in_channels", SDXL_LATENTS),
        compression(config),
    )
    got = (vae.latent_channels, int(vae.spacial_compression_decode()))
    if got != expected:
        own = "that of Load World Painter" if config else "SDXL's (Load VAE, or Load Checkpoint)"
        raise SeedStoryError(
            f"This VAE does not decode what world {world.name!r} paints: expected latents of "
            f"{expected[0]} channels, {expected[1]} pixels apart, and got {got[0]} channels, "
            f"{got[1]} pixels apart. Connect {own}."
        )


def check_changed(model: Any, world: World, engine: Engine) -> None:
    """A base model without the world's changed weights is named: it would paint something else.

    Raises:
        SeedStoryError: Apply De-tokenizer is missing, or was given another world.
    """
    if world.painter is not None or model.get_attachment(MARK) == mark_of(world):
        return
    if model.get_attachment(MARK) is None and _holds(model, engine.unet_patch()):
        return
    raise SeedStoryError(
        f"This MODEL lacks the weights that world {world.name!r} changes. Put Apply De-tokenizer, "
        "with the same world's DETOKENIZER, behind the checkpoint."
    )


def mark_of(world: World) -> tuple[str, ...]:
    """What tells a world's weights from another's: the hashes recorded of all its files."""
    return tuple(sorted(entry.sha256 for entry in world.files.values()))


def _holds(model: Any, patch: Mapping[str, Tensor]) -> bool:
    """Whether the weights are in the MODEL itself, as in a checkpoint that was saved with them.

    The smallest is compared, loosely: files are in half precision, or quantised (taken on trust).
    """
    import comfy.utils

    if not patch:
        return True
    key = min(patch, key=lambda name: patch[name].numel())
    name = PREFIX + comfy.utils.unet_to_diffusers(model.model.model_config.unet_config).get(key, "")
    kept = model.backup.get(name)  # what lies under patches that are loaded at present
    own = model.model.state_dict().get(name) if kept is None else kept.weight
    if own is None or own.shape != patch[key].shape:
        return False
    if not own.is_floating_point():
        return True
    wanted = patch[key].float()
    return torch.allclose(own.float().to(wanted.device), wanted, rtol=0.02, atol=1e-3)


def painter_name(world: World) -> str:
    """What users connect for it."""
    return "its own painter (Load World Painter)" if world.painter else "an SDXL base model"
