"""Writes SDXL files that are tiny but fit ComfyUI's stock loaders (with `TinySDXL` registered).

Needs ``comfy`` importable: the test-only custom node calls it inside the server, so that shapes and
names come from the host's own modules. Weights are seeded, the same on every host.
"""

from __future__ import annotations

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
LORA_BLOCK = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0"

#: File names as the example workflows ask for them.
CHECKPOINT = "checkpoints/sd_xl_base_1.0.safetensors"
UNET_FILE = "diffusion_models/tiny_sdxl_unet.safetensors"
VAE_FILE = "vae/tiny_sdxl_taesd.safetensors"
LORA_FILE = "loras/sdxl_style_lora.safetensors"
CONTROLNET_FILE = "controlnet/sdxl_canny_controlnet.safetensors"


def write_all(models: Path) -> None:
    """Write every file that is not there yet under the ``models`` folder."""
    makers = {
        UNET_FILE: unet_state,
        VAE_FILE: vae_state,
        LORA_FILE: lora_state,
        CONTROLNET_FILE: controlnet_state,
        CHECKPOINT: checkpoint_state,
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
    generator = torch.Generator().manual_seed(4)
    state = {}
    for key in LORA_KEYS:
        width = 64 if key.startswith("attn1") else 2048
        up = torch.randn(64, rank, generator=generator) * 0.2
        state[f"{LORA_BLOCK}_{key}.lora_up.weight"] = up
        down = torch.randn(rank, width, generator=generator) * 0.2
        state[f"{LORA_BLOCK}_{key}.lora_down.weight"] = down
        state[f"{LORA_BLOCK}_{key}.alpha"] = torch.tensor(float(rank))
    return state


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
