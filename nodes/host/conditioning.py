"""Engine values as ComfyUI's CONDITIONING and MODEL patches."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.types import Cond, Conditioning
from ...seedstory_core.world import World
from .fitting import MARK, PREFIX, check_model, mark_of, painter_name

MAX_NAMED_KEYS = 5


def to_conditioning(conditioning: Conditioning, size: tuple[int, int]) -> tuple[list, list]:
    """Positive and negative as ComfyUI's samplers read them; ``size`` = (width, height) in pixels.

    Both have as many tokens, so that the sampler can run them in one batch.
    """
    return (
        [_entry(cond, size) for cond in conditioning.positive],
        [_entry(cond, size) for cond in conditioning.negative],
    )


def _entry(cond: Cond, size: tuple[int, int]) -> list:
    import comfy.model_management as management

    width, height = size
    device = management.intermediate_device()
    extra: dict[str, Any] = {
        "width": width,
        "height": height,
        "crop_w": 0,
        "crop_h": 0,
        "target_width": width,
        "target_height": height,
    }
    if cond.pooled is not None:
        extra["pooled_output"] = cond.pooled.to(device)
    if (cond.start, cond.end) != (0.0, 1.0):
        extra |= {"start_percent": cond.start, "end_percent": cond.end}
    return [cond.tokens.to(device), extra]


def patch_model(model: Any, patch: Mapping[str, Tensor], world: World) -> Any:
    """A clone of ``model`` that carries ``patch`` (diffusers names); ``model`` stays as it is.

    The patch goes in front of every other change of the same weight: LoRAs applied before or after
    add to the patched weight either way, where a later ``set`` would wipe them.
    """
    import comfy.utils

    config = model.model.model_config.unet_config
    check_model(model, world)
    names = comfy.utils.unet_to_diffusers(config)
    targets = {key: PREFIX + names[key] for key in patch if key in names}
    clone = model.clone()
    _check_patch(clone, patch, targets, world)
    for key, target in targets.items():
        weight = patch[key]
        entry = (1.0, ("set", (weight,)), 1.0, None, None)
        clone.patches[target] = [entry, *clone.patches.get(target, ())]
    clone.set_attachments(MARK, mark_of(world))
    clone.patches_uuid = uuid.uuid4()  # tells ComfyUI that loaded weights are out of date
    return clone


def _check_patch(
    model: Any, patch: Mapping[str, Tensor], targets: Mapping[str, str], world: World
) -> None:
    """Every patched weight must be in the model, and in the same shape."""
    own = model.model.state_dict()
    wrong = [
        key
        for key, weight in patch.items()
        if key not in targets or not _fits(own.get(targets[key]), weight)
    ]
    if wrong:
        raise SeedStoryError(
            f"World {world.name!r} changes {len(patch)} weights of {painter_name(world)}, but this "
            f"MODEL lacks {len(wrong)} of them or has them in other shapes: {_some(wrong)}. "
            "Connect the right base model."
        )


def _fits(own: Tensor | None, weight: Tensor) -> bool:
    """Same shape; packed quantised weights of the base are shorter and taken on trust."""
    return own is not None and (own.shape == weight.shape or not own.is_floating_point())


def _some(keys: Sequence[str]) -> str:
    return ", ".join(keys[:MAX_NAMED_KEYS]) + (" ..." if len(keys) > MAX_NAMED_KEYS else "")
