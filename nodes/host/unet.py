"""A world's own UNet as ComfyUI's MODEL, built directly from its diffusers configuration.

Nothing is registered in ComfyUI's lists of known models: the configuration object is made here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...seedstory_core.building import Room, within
from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.painter.configs import check_config, check_scheduler
from ...seedstory_core.painter.palette_vae import KIND
from ...seedstory_core.parts import check_fit
from ...seedstory_core.schedule import SDXL as SDXL_SCHEDULER
from ...seedstory_core.world import World
from .layers import PlainLayers
from .parts import patcher_class, read_weights_file
from .storage import disk_of
from .vae import compression, load_vae, prepare_previews, preview_factors

SDXL_CHANNELS = (320, 640, 1280)
NORM_GROUPS = 32  # fixed in ComfyUI's UNet and autoencoder
#: diffusers' names of beta schedules -> ComfyUI's
BETA_SCHEDULES = {"scaled_linear": "linear", "linear": "sqrt_linear"}


def load_painter(world: World) -> tuple[Any, Any]:
    """(MODEL, VAE) of a world that brings its own painter; VAE None where it has none.

    Raises:
        SeedStoryError: the world has no UNet, or one that ComfyUI's UNet cannot express.
    """
    if world.painter is None or "unet" not in world.files:
        raise SeedStoryError(
            f"World {world.name!r} brings no painter of its own; it changes an SDXL base "
            "instead. Use Load Checkpoint with SDXL base 1.0, then Apply De-tokenizer on its "
            "MODEL."
        )
    state = read_weights_file(world.file("unet"))
    config = check_config(world.painter.get("unet"), f"World {world.name!r}: its UNet")
    vae = world.painter.get("vae") or {}
    if vae and vae.get("kind") != KIND:
        check_config(vae, f"World {world.name!r}: its VAE")
    check_scheduler(world.painter.get("scheduler") or {}, f"World {world.name!r}: its scheduler")
    if tuple(config.get("block_out_channels", ())) == SDXL_CHANNELS:
        model = _load_sdxl(state, world)
    else:
        model = _load_small(state, config, world)
        prepare_previews(model.model.latent_format, world)
    return model, load_vae(world) if "vae" in world.files else None


def _load_sdxl(state: dict[str, Tensor], world: World) -> Any:
    """A whole SDXL UNet: ComfyUI's own loader knows it, diffusers' names included."""
    import comfy.sd

    model = comfy.sd.load_diffusion_model_state_dict(state)
    if model is None:
        raise SeedStoryError(
            f"{world.file('unet')} is not a UNet of SDXL's layout. Convert the official files "
            "again."
        )
    return model


def _load_small(state: Mapping[str, Tensor], config: Mapping[str, Any], world: World) -> Any:
    import comfy.model_management as management
    import comfy.utils

    with within(Room.of(state), f"the world's UNet settings and {world.file('unet')}"):
        settings = unet_settings(config)
        expected, names = _expected(settings), comfy.utils.unet_to_diffusers(settings)
    state = {names.get(key, key): value for key, value in state.items()}
    check_fit(expected, state, str(world.file("unet")))
    device = management.get_torch_device()
    model_config = _model_config(settings, config, world.painter or {})
    dtype = management.unet_dtype(device, supported_dtypes=model_config.supported_inference_dtypes)
    cast = management.unet_manual_cast(dtype, device, model_config.supported_inference_dtypes)
    model_config.set_inference_dtype(dtype, cast)
    model = model_config.get_model({}, "")
    kind, offload = patcher_class(), management.unet_offload_device()
    disk = disk_of(kind, world.file("unet"))
    patcher = kind(model, load_device=device, offload_device=offload, **disk)
    dynamic = bool(getattr(patcher, "is_dynamic", bool)())
    model.diffusion_model.load_state_dict(state, strict=False, assign=dynamic)
    return patcher


def _expected(settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """Names and shapes of the UNet's weights, from a copy with plain layers on the meta device."""
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    return UNetModel(**settings, device=torch.device("meta"), operations=PlainLayers()).state_dict()


def unet_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """A diffusers UNet2DConditionModel configuration as the arguments of ComfyUI's UNetModel.

    Raises:
        SeedStoryError: it has a feature that ComfyUI's UNet lacks.
    """
    channels = [int(c) for c in config["block_out_channels"]]
    levels = len(channels)
    _check_supported(config, channels)
    blocks = _per_level(config.get("layers_per_block", 2), levels)
    depths = _per_level(config.get("transformer_layers_per_block", 1), levels)
    kinds = config.get("down_block_types") or ["CrossAttnDownBlock2D"] * levels
    attended = [
        d if kind.startswith("CrossAttn") else 0 for d, kind in zip(depths, kinds, strict=True)
    ]
    heads, head_channels = _heads(config, channels, attended)
    settings = {
        "image_size": 32,
        "use_spatial_transformer": True,
        "legacy": False,
        "in_channels": int(config.get("in_channels", 4)),
        "out_channels": int(config.get("out_channels", 4)),
        "model_channels": channels[0],
        "num_res_blocks": blocks,
        "channel_mult": [c // channels[0] for c in channels],
        "transformer_depth": [d for d, n in zip(attended, blocks, strict=True) for _ in range(n)],
        "transformer_depth_middle": depths[-1],
        "transformer_depth_output": [
            d for d, n in zip(attended, blocks, strict=True) for _ in range(n + 1)
        ],
        "use_linear_in_transformer": bool(config.get("use_linear_projection", False)),
        "context_dim": int(config["cross_attention_dim"]),
        "num_heads": heads,
        "num_head_channels": head_channels,
    }
    if config.get("addition_embed_type") == "text_time":
        width = int(config["projection_class_embeddings_input_dim"])
        settings |= {"num_classes": "sequential", "adm_in_channels": width}
    return settings


def _per_level(value: int | Sequence[int], levels: int) -> list[int]:
    return [value] * levels if isinstance(value, int) else [int(v) for v in value]


def _heads(
    config: Mapping[str, Any], channels: Sequence[int], attended: Sequence[int]
) -> tuple[int, int]:
    """(number of heads, -1) or (-1, channels of a head), whichever is one number in all levels.

    diffusers calls the number of heads ``attention_head_dim`` (a misnomer it keeps for old files).
    """
    counts = config.get("num_attention_heads") or config.get("attention_head_dim", 8)
    per_level = _per_level(counts, len(channels))
    # the middle block attends with the last level's heads even where that level has no attention
    used = [i for i, depth in enumerate(attended) if depth or i == len(channels) - 1]
    widths = {channels[i] // per_level[i] for i in used}
    if len(widths) == 1:
        return -1, widths.pop()
    numbers = {per_level[i] for i in used}
    if len(numbers) == 1:
        return numbers.pop(), -1
    raise _unsupported(
        "attention_head_dim", counts, "one head width or one head count for all levels"
    )


def _check_supported(config: Mapping[str, Any], channels: Sequence[int]) -> None:
    """Name the first setting that ComfyUI's UNet could not reproduce."""
    if any(c % channels[0] for c in channels):
        raise _unsupported("block_out_channels", channels, "multiples of the first")
    downs = config.get("down_block_types") or []
    mirrored = [kind.replace("Down", "Up") for kind in reversed(downs)]
    for key, expected in (
        ("norm_num_groups", NORM_GROUPS),
        ("act_fn", "silu"),
        ("flip_sin_to_cos", True),
        ("freq_shift", 0),
        ("up_block_types", mirrored),
        ("mid_block_type", "UNetMidBlock2DCrossAttn"),
        ("only_cross_attention", False),
        ("dual_cross_attention", False),
        ("resnet_time_scale_shift", "default"),
        ("reverse_transformer_layers_per_block", None),
        ("class_embed_type", None),
        ("encoder_hid_dim_type", None),
    ):
        value = config.get(key, expected)
        if (list(value) if isinstance(value, (list, tuple)) else value) != expected:
            raise _unsupported(key, value, repr(expected))
    if config.get("addition_embed_type") not in (None, "text_time"):
        raise _unsupported(
            "addition_embed_type", config["addition_embed_type"], "text_time or none"
        )


def _unsupported(key: str, got: object, expected: str) -> SeedStoryError:
    return SeedStoryError(
        f"The world's UNet has {key} = {got!r}; ComfyUI's UNet needs {expected}. Paint with the "
        "library instead (python -m seedstory_core tell), or train the world's painter anew."
    )


def _model_config(
    settings: Mapping[str, Any], config: Mapping[str, Any], painter: Mapping[str, Any]
) -> Any:
    """A model configuration of ComfyUI's SDXL family with this UNet's sizes."""
    from comfy import latent_formats, model_base, supported_models
    from comfy.ldm.modules.diffusionmodules.openaimodel import Timestep

    scheduler = {**SDXL_SCHEDULER, **(painter.get("scheduler") or {})}
    vae = painter.get("vae") or {}

    class LatentFormat(latent_formats.SDXL):
        scale_factor = float(vae.get("scaling_factor", latent_formats.SDXL.scale_factor))
        latent_channels = int(settings["in_channels"])
        spacial_downscale_ratio = compression(vae)

        def __init__(self) -> None:
            super().__init__()
            self.taesd_decoder_name = None  # made for another VAE
            if self.latent_channels != 4 or "kind" in vae:
                self.latent_rgb_factors, self.latent_rgb_factors_bias = preview_factors(vae)

    class Painter(model_base.SDXL if "adm_in_channels" in settings else model_base.BaseModel):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            # sizes are embedded with as many channels as the UNet was trained with
            self.embedder = Timestep(int(config.get("addition_time_embed_dim") or 256))

    class Config(supported_models.SDXL):
        unet_extra_config: Mapping[str, Any] = {}
        latent_format = LatentFormat

        def get_model(self, state_dict: Any, prefix: str = "", device: Any = None) -> Any:
            return Painter(self, model_type=_model_type(scheduler), device=device)

    made = Config(dict(settings))
    made.sampling_settings = _sampling_settings(scheduler)
    return made


def _model_type(scheduler: Mapping[str, Any]) -> Any:
    from comfy.model_base import ModelType

    kinds = {"epsilon": ModelType.EPS, "v_prediction": ModelType.V_PREDICTION}
    kind = scheduler["prediction_type"]
    if kind not in kinds:
        raise _unsupported("prediction_type", kind, " or ".join(kinds))
    return kinds[kind]


def _sampling_settings(scheduler: Mapping[str, Any]) -> dict[str, Any]:
    name = scheduler["beta_schedule"]
    if name not in BETA_SCHEDULES:
        raise _unsupported("beta_schedule", name, " or ".join(BETA_SCHEDULES))
    return {
        "beta_schedule": BETA_SCHEDULES[name],
        "linear_start": float(scheduler["beta_start"]),
        "linear_end": float(scheduler["beta_end"]),
        "timesteps": int(scheduler["num_train_timesteps"]),
        "zsnr": bool(scheduler["rescale_betas_zero_snr"]),
    }
