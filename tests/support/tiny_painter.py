"""A tiny UNet and VAE of SDXL's kind, made by diffusers and written as a world's painter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel

UNET: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [32, 64],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2],
    "attention_head_dim": [2, 4],
    "cross_attention_dim": 48,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 20 + 6 * 8,
}
VAE: dict[str, Any] = {
    "block_out_channels": [32, 64],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "scaling_factor": 0.5,
}
SCHEDULER: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "steps_offset": 1,
}
POOLED = 20


def make_models(unet: dict[str, Any] = UNET, seed: int = 0) -> tuple[Any, Any]:
    """diffusers' own models with seeded weights, in eval mode."""
    torch.manual_seed(seed)
    models = UNet2DConditionModel(**unet).eval(), AutoencoderKL(**VAE).eval()
    for model in models:
        for parameter in model.parameters():
            parameter.requires_grad_(False)
            if parameter.ndim > 1:  # far from zero, so that every block has a say
                parameter.mul_(1.5)
    return models


def scheduler(**changes: Any) -> EulerDiscreteScheduler:
    """diffusers' scheduler for these models."""
    return EulerDiscreteScheduler(**SCHEDULER | changes)


def write_world(folder: Path, unet: Any, vae: Any, **scheduler_changes: Any) -> Path:
    """A world folder that has a painter and nothing else."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    files = {}
    for role, model in (("unet", unet), ("vae", vae)):
        path = folder / f"{role}.safetensors"
        save_file({k: v.clone() for k, v in model.state_dict().items()}, path)
        files[role] = {"path": path.name, "bytes": path.stat().st_size, "sha256": "0" * 64}
    painter = {"unet": dict(UNET), "vae": VAE, "scheduler": SCHEDULER | scheduler_changes}
    painter["unet"] |= {key: unet.config[key] for key in UNET if key in unet.config}
    manifest = {
        "format": "seedstory-world",
        "version": 1,
        "engine": "seed_story",
        "sizes": {},
        "files": files,
        "panel_size": [16, 16],
        "painter": painter,
    }
    (folder / "world.json").write_text(json.dumps(manifest))
    return folder
