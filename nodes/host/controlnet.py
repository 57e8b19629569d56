"""ControlNets for a world's own UNet: ComfyUI's loader knows those of the large models only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import folder_paths
import torch
from torch import Tensor

from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.parts import some
from ...seedstory_core.strict_json import shown
from ...seedstory_core.world import find_worlds
from .folders import world_roots
from .layers import PlainLayers
from .names import listed
from .parts import read_weights_file
from .storage import disk_of

FOLDER = "controlnet"
NOTHING = "(none found)"
HINT_CHANNELS = 3  # a picture
#: Parts of names -> what has them.
_KINDS = (
    ("lora_", "a LoRA"),
    ("adapter.body.", "a T2I adapter"),
    ("encoder.conv_in.", "a VAE"),
    ("ip_adapter", "an IP-Adapter"),
    ("text_model.", "a text encoder"),
    ("output_blocks.", "a whole UNet"),
    ("up_blocks.", "a whole UNet"),
)
HINT_LAYERS = 8  # convolutions before the hint joins the latents; every second module is one


def controlnet_choices() -> list[str]:
    """ControlNets that worlds bring, then the files in ``models/controlnet``."""
    return [*_of_worlds(), *folder_paths.get_filename_list(FOLDER)] or [NOTHING]


def _of_worlds() -> dict[str, Path]:
    """``{"world: file": path}``."""
    return {
        f"{name}: {path.name}": path
        for name, folder in find_worlds(world_roots()).items()
        for path in sorted(folder.glob("controlnet*.safetensors"))
    }


def find_controlnet(name: str) -> Path:
    """The file behind one of `controlnet_choices`."""
    files = folder_paths.get_filename_list(FOLDER)
    known = listed(name, files)
    path = _of_worlds().get(name)
    path = path or (None if known is None else folder_paths.get_full_path(FOLDER, known))
    if path is None:
        raise SeedStoryError(
            f"There is no ControlNet {shown(name)}. Put a .safetensors file into models/{FOLDER}, "
            "or get a world that brings one."
        )
    return Path(path)


def load_controlnet(path: Path, model: Any) -> Any:
    """The ControlNet in a file of diffusers' or the original naming, shaped as ``model``'s UNet.

    The hint has eight times the latents' side, whatever the VAE's compression: the native size of
    drawn worlds, so that pictures enlarged exactly arrive exactly as they were drawn.

    Raises:
        SeedStoryError: the file is damaged, no ControlNet, or one of another UNet.
    """
    import comfy.controlnet
    import comfy.model_management as management
    import comfy.ops
    import comfy.utils
    from comfy.cldm.cldm import ControlNet

    config = model.model.model_config
    settings = {**config.unet_config, "hint_channels": HINT_CHANNELS}
    settings = {k: v for k, v in settings.items() if k not in ("dtype", "device", "operations")}
    state = comfy_names(read_weights_file(path), settings)
    plain = ControlNet(**settings, device=torch.device("meta"), operations=PlainLayers())
    _check_kind(plain.state_dict(), state, path)
    device = management.get_torch_device()
    dtype = management.unet_dtype(
        model_params=-1,
        supported_dtypes=list(config.supported_inference_dtypes),
        weight_dtype=comfy.utils.weight_dtype(state),
    )
    cast = management.unet_manual_cast(dtype, device)
    offload = management.unet_offload_device()
    operations = comfy.ops.pick_operations(dtype, cast)
    net = ControlNet(**settings, dtype=dtype, device=offload, operations=operations)
    net.load_state_dict(state, strict=False)
    kind = comfy.controlnet.ControlNet
    return kind(net, load_device=device, manual_cast_dtype=cast, **disk_of(kind, path))


def _check_kind(own: Mapping[str, Tensor], state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse what is no ControlNet, or that of another UNet: what was expected, and what came.

    Args:
        own: of a ControlNet as the UNet wants it, on the meta device.
    """
    if not any(key.startswith(("zero_convs.", "input_hint_block.")) for key in state):
        kind = next((kind for start, kind in _KINDS if any(start in key for key in state)), "")
        raise SeedStoryError(
            f"{path.name} is {kind or 'something else'}, no ControlNet: its tensors begin with "
            f"{some(list(state), 3)}. Expected one trained for this world's UNet, in diffusers' or "
            "the original naming."
        )
    wrong = [key for key in own if key not in state or state[key].shape != own[key].shape]
    wrong += [key for key in state if key not in own]
    if wrong:
        raise SeedStoryError(
            f"{path.name} is the ControlNet of another UNet: {_size(state)}. This world's UNet "
            f"has {_size(own)}; {len(wrong)} tensors do not fit, as {some(wrong, 3)}. Choose one "
            "trained for this world; those of SDXL and other large models are for ComfyUI's "
            "own Load ControlNet Model, with those models."
        )


def _size(state: Mapping[str, Tensor]) -> str:
    """Two numbers that tell UNets apart."""
    first = state.get("input_blocks.0.0.weight")
    words = next((v for key, v in state.items() if key.endswith("attn2.to_k.weight")), None)
    channels = "no first layer" if first is None or not first.ndim else f"{len(first)} channels"
    width = "no cross-attention"
    if words is not None and words.ndim:
        width = f"conditioning of width {words.shape[-1]}"
    return f"{channels} and {width}"


def comfy_names(state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """``state`` under ComfyUI's names; unknown names stay, for the check that follows."""
    import comfy.utils

    prefix = "control_model."
    if any(key.startswith(prefix) for key in state):
        return {key.removeprefix(prefix): value for key, value in state.items()}
    names = dict(comfy.utils.unet_to_diffusers(settings))
    for kind in ("weight", "bias"):
        names[f"controlnet_mid_block.{kind}"] = f"middle_block_out.0.{kind}"
        names[f"controlnet_cond_embedding.conv_in.{kind}"] = f"input_hint_block.0.{kind}"
        last = f"input_hint_block.{2 * (HINT_LAYERS - 1)}.{kind}"
        names[f"controlnet_cond_embedding.conv_out.{kind}"] = last
        for i in range(HINT_LAYERS - 2):
            name = f"controlnet_cond_embedding.blocks.{i}.{kind}"
            names[name] = f"input_hint_block.{2 * (i + 1)}.{kind}"
    for key in state:
        if key.startswith("controlnet_down_blocks."):
            number, _, kind = key.removeprefix("controlnet_down_blocks.").partition(".")
            names[key] = f"zero_convs.{number}.0.{kind}"
    return {names.get(key, key): value for key, value in state.items()}
