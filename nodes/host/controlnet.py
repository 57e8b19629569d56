"""ControlNets for a world's own UNet: ComfyUI's loader knows those of the large models only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import folder_paths
import torch
from torch import Tensor

from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.parts import check_fit
from ...seedstory_core.world import find_worlds
from .folders import world_roots
from .layers import PlainLayers
from .parts import read_weights_file

FOLDER = "controlnet"
NOTHING = "(none found)"
HINT_CHANNELS = 3  # a picture
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
    path = _of_worlds().get(name) or folder_paths.get_full_path(FOLDER, name)
    if path is None:
        raise SeedStoryError(
            f"There is no ControlNet {name!r}. Put a .safetensors file into models/{FOLDER}, or "
            "get a world that brings one."
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
    check_fit(plain.state_dict(), state, str(path))
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
    return comfy.controlnet.ControlNet(net, load_device=device, manual_cast_dtype=cast)


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
            _, number, kind = key.split(".", 2)
            names[key] = f"zero_convs.{number}.0.{kind}"
    return {names.get(key, key): value for key, value in state.items()}
