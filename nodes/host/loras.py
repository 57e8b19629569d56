"""LoRAs by the names that ComfyUI's loader lists, laid on a MODEL."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import folder_paths
from torch import Tensor

from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.parts import some
from ...seedstory_core.strict_json import shown
from ...seedstory_core.weights.reader import open_checkpoint
from .names import listed

NO_LORA = "(none)"
NAMED = 3  # keys in a message
#: Layers of a UNet as peft and diffusers name them: the prefix, the layer, which half.
_FOREIGN = re.compile(
    r"(?:base_model\.model\.unet\.|unet\.base_model\.model\.|base_model\.model\.|unet\.|)"
    r"((?:down_blocks|mid_block|up_blocks|conv_|time_|add_)[\w.]*?)"
    r"\.(?:lora_(A|B)(?:\.default)?|lora\.(down|up)|lora_linear_layer\.(down|up))\.weight"
)
_HALVES = {"A": "down", "B": "up", "down": "down", "up": "up"}


def lora_choices() -> list[str]:
    """Names of all LoRA files, behind the entry that means none."""
    return [NO_LORA, *folder_paths.get_filename_list("loras")]


def with_lora(model: Any, name: str, strength: float) -> tuple[Any, str]:
    """A clone of a MODEL with a LoRA laid on, and what to say of it, "" if all of it fits.

    The text encoder is left alone.

    Raises:
        SeedStoryError: there is no such file, it is damaged, or nothing of it fits the model.
    """
    import comfy.lora
    import comfy.lora_convert

    state = read_lora(name)
    keys = comfy.lora.model_lora_keys_unet(model.model, {})
    known = {key: value for key, value in state.items() if not _of_text(key)}
    try:
        made = comfy.lora.load_lora(comfy.lora_convert.convert_lora(in_kohya(known, keys)), keys)
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise SeedStoryError(
            f"The LoRA {shown(name)} is damaged or incomplete ({type(error).__name__}: "
            f"{str(error)[:200]}). Get another copy of the file."
        ) from error
    shapes = {key: tuple(value.shape) for key, value in model.model_state_dict().items()}
    fitting = {key: patch for key, patch in made.items() if _fits(patch, shapes.get(_weight(key)))}
    if not fitting:
        first = some(list(known or state), NAMED)
        why = "its layers have other sizes" if made else f"its keys are others: {first}"
        raise SeedStoryError(
            f"The LoRA {shown(name)} changes nothing: none of its {len(state)} tensors fits this "
            f"model ({why}). It was made for another model. Choose one for this, or take it off "
            "the card."
        )
    patched = model.clone()
    patched.add_patches(fitting, strength)
    return patched, _partly(name, len(made) - len(fitting), len(made))


def find_lora(name: str) -> Path:
    """The file of a LoRA in ``models/loras``, named with any system's separators.

    Raises:
        SeedStoryError: there is no such file.
    """
    known = folder_paths.get_filename_list("loras")
    found = listed(name, known)
    path = None if found is None else folder_paths.get_full_path("loras", found)
    if path is None:
        raise SeedStoryError(
            f"There is no LoRA {shown(name)} in models/loras. Found: "
            f"{', '.join(known[:10]) or 'none yet'}. Put the file there, or take it off the card."
        )
    return Path(path)


def read_lora(name: str) -> Mapping[str, Tensor]:
    """The tensors of a LoRA.

    Raises:
        SeedStoryError: there is no such file, or it is damaged; the file is named.
    """
    path = find_lora(name)
    try:
        checkpoint = open_checkpoint(path)
        return {key: checkpoint.tensor(key) for key in checkpoint.keys()}
    except SeedStoryError as error:
        raise SeedStoryError(f"The LoRA {shown(name)} cannot be read: {error}") from error


def in_kohya(state: Mapping[str, Tensor], known: Mapping[str, Any]) -> dict[str, Tensor]:
    """``state`` with the layers that peft and diffusers name in the way every ComfyUI reads.

    ``unet.down_blocks.0.attn.to_k.lora_A.weight`` -> ``lora_unet_down_blocks_0_attn_to_k.lora_down
    .weight``; only where ``known``, ComfyUI's names of the model's layers, has it.
    """
    renamed = {}
    for key, value in state.items():
        found = _FOREIGN.fullmatch(key)
        if found:
            flat = "lora_unet_" + found[1].replace(".processor", "").replace(".", "_")
            half = _HALVES[found[2] or found[3] or found[4]]
            key = f"{flat}.lora_{half}.weight" if flat in known else key
        renamed[key] = value
    return renamed


def _of_text(key: str) -> bool:
    return key.startswith(("lora_te", "text_encoder", "te1.", "te2."))


def _weight(key: Any) -> str:
    """A patch is for a weight, or for a slice of one: ``(weight, place)``."""
    return key if isinstance(key, str) else key[0]


def _fits(patch: Any, shape: Sequence[int] | None) -> bool:
    """Whether a plain LoRA multiplies to the weight's size. Of other adapters ComfyUI judges."""
    weights = getattr(patch, "weights", None)
    if shape is None or getattr(patch, "name", "") != "lora" or not isinstance(weights, tuple):
        return True
    up, down, middle = weights[0], weights[1], weights[3] if len(weights) > 3 else None
    if middle is not None or up is None or down is None or up.ndim < 2 or down.ndim < 2:
        return True
    size = 1
    for side in shape:
        size *= side
    return up.flatten(1).shape[1] == down.shape[0] and size == len(up) * down[0].numel()


def _partly(name: str, others: int, whole: int) -> str:
    if not others:
        return ""
    return (
        f"The LoRA {shown(name)} fits this model in part: {whole - others} of its {whole} layers."
    )
