"""Memory plans from what ComfyUI knows: its device, its precisions, models that are there."""

from __future__ import annotations

from typing import Any

import torch

from ...seedstory_core.engine import Engine
from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.memory import (
    PRESETS,
    Device,
    Known,
    KnownModel,
    Loading,
    Plan,
    Run,
    comfy_loading,
    default_context,
    make_plan,
)
from ...seedstory_core.memory.models import part_weights
from ...seedstory_core.memory.painting import TILE
from ...seedstory_core.world import World
from .parts import ComfyPart
from .quantised import QUANTISED, chosen_format

NONE = "none"  # of `QUANTISED`: as the file has them
OVERLAP = 16  # latents that tiles share, as in ComfyUI's own node


def preset_names() -> list[str]:
    """Memory presets."""
    return list(PRESETS)


def planned(
    engine: Engine, world: World, run: Run | None, preset: str, model: Any, vae: Any, **how: Any
) -> Plan:
    """The plan of a run on ComfyUI's device.

    Args:
        run: None: as the world says, in a context that may be made smaller to fit.
        model, vae: MODEL and VAE that it will be painted with, or None: the world's or SDXL's.
        how: fields of `Run` for a ``run`` of None.

    Raises:
        SeedStoryError: the world is damaged.
    """
    part = engine.parts["llm"]
    assert isinstance(part, ComfyPart), "the handles of Load World"
    chosen = run or Run(context=default_context(world), **how)
    return make_plan(
        world,
        chosen,
        _loading(part.dtype, part.device, model, vae),
        _device(part.device),
        preset,
        _known(part, model, vae, chosen, world),
        free_context=run is None,
        quantised=_offers(part),
    )


def decode(vae: Any, samples: torch.Tensor, tiled: bool) -> torch.Tensor:
    """Latents [B, C, h, w] -> IMAGE; in tiles where a plan says so."""
    if not tiled:
        return vae.decode(samples)
    return vae.decode_tiled(samples, tile_x=TILE, tile_y=TILE, overlap=OVERLAP)


def _device(device: torch.device) -> Device:
    """What is free, models that ComfyUI would move away counted as free."""
    import comfy.model_management as management

    models = [item.model for item in management.current_loaded_models if item.device == device]
    movable = sum(model.loaded_size() for model in models if model is not None)
    total = int(management.get_total_memory(device))
    free = int(management.get_free_memory(device)) + movable
    ram = int(management.get_total_memory(torch.device("cpu")))
    return Device(str(device), total, min(total, free), ram, gpu=device.type != "cpu")


def _loading(dtype: torch.dtype, device: torch.device, model: Any, vae: Any) -> Loading:
    import comfy.model_management as management

    unet = model.model_dtype() if model is not None else management.unet_dtype(device)
    decoding = [torch.bfloat16, torch.float32]
    return comfy_loading(
        dtype, unet, vae.vae_dtype if vae is not None else management.vae_dtype(device, decoding)
    )


def _offers(part: ComfyPart) -> tuple[str, ...]:
    """How else the LLM could be stored on this host, if it is not quantised yet."""
    offers = []
    for name in QUANTISED if part.quantised == NONE else ():
        try:
            if chosen_format(name) is not None:
                offers.append(name)
        except SeedStoryError:  # this ComfyUI has no layers for it
            continue
    return tuple(offers)


def _known(part: ComfyPart, model: Any, vae: Any, run: Run, world: World) -> Known:
    """Sizes of what is loaded or connected, and what ComfyUI will free for it to work in."""
    known: dict[str, KnownModel] = {}
    form = "" if part.quantised == NONE else part.quantised
    if part.patcher is not None:
        known["tell"] = KnownModel(weights=int(part.patcher.model_size()), precision=form)
    elif form:
        known["tell"] = KnownModel(
            weights=part_weights(world, "llm").quantised(form), precision=form
        )
    width, height = run.size or world.panel_size
    if model is not None:
        latent = model.get_model_object("latent_format")
        factor = int(getattr(latent, "spacial_downscale_ratio", 8))
        shape = [2 * run.pictures, latent.latent_channels, height // factor, width // factor]
        known["paint"] = KnownModel(int(model.model_size()), int(model.memory_required(shape)))
    if vae is not None:
        factor = int(vae.spacial_compression_decode())
        sides = height // factor, width // factor
        size = int(vae.patcher.model_size())
        for name, most in (("decode", max(sides)), ("tiles", TILE)):
            shape = (1, vae.latent_channels, *(min(side, most) for side in sides))
            working = int(vae.memory_used_decode(shape, vae.vae_dtype))
            known[name] = KnownModel(size, working)
    return known
