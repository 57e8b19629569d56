"""Writes SDXL files that are tiny but fit ComfyUI's stock loaders (with `TinySDXL` registered).

Also a LoRA and a ControlNet for Picture World's UNet, as example 04 asks for.

Needs ``comfy`` importable: the test-only custom node calls it inside the server, so that shapes and
names come from the host's own modules. Weights are seeded, the same on every host.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

#: The part of SDXL's configuration that makes it tiny; all else is SDXL's.
DETECTED = {
    "model_channels": 32,
    "use_linear_in_transformer": True,
    "transformer_depth": [0, 1, 1],
    "context_dim": 2048,
    "adm_in_channels": 2816,
    "use_temporal_attention": False,
}
UNET = {
    "image_size": 32,
    "in_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [1, 1, 1],
    "channel_mult": [1, 2, 2],
    "num_heads": -1,
    "num_head_channels": 32,
    "use_spatial_transformer": True,
    "transformer_depth": [0, 1, 1],
    "transformer_depth_middle": 1,
    "context_dim": 2048,
    "num_classes": "sequential",
    "adm_in_channels": 2816,
    "use_linear_in_transformer": True,
    "use_temporal_attention": False,
}
UNET_OUTPUT_DEPTH = [0, 0, 1, 1, 1, 1]
LORA_KEYS = ("attn1_to_q", "attn2_to_k", "attn2_to_v")
WEAK = 0.02
LORA_BLOCK = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0"

#: File names as the example workflows ask for them.
CHECKPOINT = "checkpoints/sd_xl_base_1.0.safetensors"
UNET_FILE = "diffusion_models/tiny_sdxl_unet.safetensors"
VAE_FILE = "vae/tiny_sdxl_taesd.safetensors"
LORA_FILE = "loras/sdxl_style_lora.safetensors"
CONTROLNET_FILE = "controlnet/sdxl_canny_controlnet.safetensors"
WORLD_LORA_FILE = "loras/picture-world-winter.safetensors"
FEW_STEPS_FILE = "loras/picture-world-few-steps.safetensors"
WORLD_CONTROLNET_FILE = "controlnet/picture-world-edges.safetensors"
WORLD_JSON = Path(__file__).parents[2] / "worlds" / "picture-world" / "world.json"


def write_all(models: Path) -> None:
    """Write every file that is not there yet under the ``models`` folder."""
    makers = {
        UNET_FILE: unet_state,
        VAE_FILE: vae_state,
        LORA_FILE: lora_state,
        CONTROLNET_FILE: controlnet_state,
        CHECKPOINT: checkpoint_state,
        WORLD_LORA_FILE: world_lora_state,
        FEW_STEPS_FILE: world_lora_state,
        WORLD_CONTROLNET_FILE: world_controlnet_state,
    }
    for name, make in makers.items():
        target = models / name
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_suffix(".part")
            save_file({key: value.contiguous() for key, value in make().items()}, part)
            part.replace(target)


def unet_state() -> dict[str, Tensor]:
    """A UNet in ldm names."""
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    sizes = UNET | {"transformer_depth_output": list(UNET_OUTPUT_DEPTH), "out_channels": 4}
    return _seeded(UNetModel(**sizes, operations=_ops()), seed=1)


def controlnet_state() -> dict[str, Tensor]:
    """A ControlNet for that UNet in ldm names, reading RGB hints."""
    from comfy.cldm.cldm import ControlNet

    return _seeded(ControlNet(**UNET, hint_channels=3, operations=_ops()), seed=2)


def vae_state() -> dict[str, Tensor]:
    """A random TAESD, encoder and decoder, as one file."""
    from comfy.taesd.taesd import TAESD

    state = _seeded(TAESD(latent_channels=4), seed=3)
    return state | {"vae_scale": torch.tensor(1.0), "vae_shift": torch.tensor(0.0)}


def checkpoint_state() -> dict[str, Tensor]:
    """UNet and VAE in one file, as ``CheckpointLoaderSimple`` reads them (no text encoders)."""
    unet = {f"model.diffusion_model.{key}": value for key, value in unet_state().items()}
    return unet | {f"first_stage_model.{key}": value for key, value in vae_state().items()}


def lora_state(rank: int = 4) -> dict[str, Tensor]:
    """A LoRA in kohya's names on three projections of the first transformer block."""
    return _lora(LORA_BLOCK, 64, 2048, rank, 0.2)


def _lora(block: str, width: int, context: int, rank: int, size: float) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(4)
    state = {}
    for key in LORA_KEYS:
        read = width if key.startswith("attn1") else context
        up = torch.randn(width, rank, generator=generator) * size
        state[f"{block}_{key}.lora_up.weight"] = up
        down = torch.randn(rank, read, generator=generator) * size
        state[f"{block}_{key}.lora_down.weight"] = down
        state[f"{block}_{key}.alpha"] = torch.tensor(float(rank))
    return state


def world_unet() -> dict[str, Any]:
    """The settings of Picture World's UNet as ComfyUI's modules take them."""
    config = json.loads(WORLD_JSON.read_text(encoding="utf-8"))["painter"]["unet"]
    channels = config["block_out_channels"]
    blocks = [config["layers_per_block"]] * len(channels)
    return {
        **UNET,
        "in_channels": config["in_channels"],
        "model_channels": channels[0],
        "num_res_blocks": blocks,
        "channel_mult": [width // channels[0] for width in channels],
        "num_head_channels": channels[0] // config["attention_head_dim"][0],
        "transformer_depth": blocks,
        "context_dim": config["cross_attention_dim"],
        "adm_in_channels": config["projection_class_embeddings_input_dim"],
    }


def world_lora_state(rank: int = 4) -> dict[str, Tensor]:
    """`lora_state` for Picture World's UNet, whose first level attends; weak, as pictures show."""
    unet = world_unet()
    block = LORA_BLOCK.replace("down_blocks_1", "down_blocks_0")
    return _lora(block, unet["model_channels"], unet["context_dim"], rank, WEAK)


def world_controlnet_state() -> dict[str, Tensor]:
    """`controlnet_state` for Picture World's UNet; weak, as pictures show."""
    from comfy.cldm.cldm import ControlNet

    state = _seeded(ControlNet(**world_unet(), hint_channels=3, operations=_ops()), seed=6)
    outputs = ("zero_convs.", "middle_block_out.")
    return {key: v * WEAK if key.startswith(outputs) else v for key, v in state.items()}


def _ops() -> Any:
    import comfy.ops

    return comfy.ops.disable_weight_init  # leaves weights unset: every one is filled below


def _seeded(module: nn.Module, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {key: _fill(key, value, generator) for key, value in module.state_dict().items()}


def _fill(key: str, value: Tensor, generator: torch.Generator) -> Tensor:
    """Norm gains 1, biases 0, all else normal with the variance that keeps activations level."""
    if value.ndim < 2:
        return torch.full(value.shape, float(key.endswith("weight")))
    return torch.randn(value.shape, generator=generator) * value[0].numel() ** -0.5
