"""A drawn world's painter at the shapes it is trained in: UNet and palette VAE, random weights."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

POOLED, WIDTH, TOKENS = 128, 256, 16
SIDE = 512

UNET: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 16,
    "out_channels": 16,
    "block_out_channels": [96, 192],
    "layers_per_block": 1,
    "down_block_types": ["CrossAttnDownBlock2D"] * 2,
    "up_block_types": ["CrossAttnUpBlock2D"] * 2,
    "transformer_layers_per_block": 1,
    "attention_head_dim": [3, 6],  # diffusers means the number of heads: 32 channels each
    "norm_num_groups": 32,
    "cross_attention_dim": WIDTH,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": POOLED + 6 * 256,
}
SCHEDULER: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "rescale_betas_zero_snr": True,
}
PALETTE = [[37 * i % 256, 91 * i % 256, 151 * i % 256] for i in range(112)]
VAE: dict[str, Any] = {
    "kind": "palette",
    "palette": PALETTE,
    "patch": 8,
    "width": 192,
    "blocks": 2,
    "latent_channels": 16,
    "head_width": 12,
    "enlarge": 8,
    "scaling_factor": 1.0,
    "rgb_factors": [[(i - c) / 16 for c in range(3)] for i in range(16)],
    "rgb_bias": [0.0, 0.1, -0.1],
}


def make_unet(seed: int = 0) -> Any:
    """diffusers' UNet with seeded weights, far enough from zero that every block has a say."""
    diffusers: Any = import_module("diffusers")
    torch.manual_seed(seed)
    unet = diffusers.UNet2DConditionModel(**UNET).eval().requires_grad_(False)
    for parameter in unet.parameters():
        if parameter.ndim > 1:
            parameter.mul_(1.5)
    return unet


def make_vae(core: Any, seed: int = 0) -> Any:
    """The palette VAE of ``core`` (`seedstory_core.painter.palette_vae`), statistics included."""
    torch.manual_seed(seed)
    vae = core.PaletteVae(core.PaletteVaeConfig.from_json(VAE)).eval().requires_grad_(False)
    vae.whitening.running_mean.normal_()
    vae.whitening.running_var.uniform_(0.05, 2)
    vae.head.weight.mul_(20)  # decided, so that rounding flips few pixels
    return vae


def write_world(folder: Path, unet: Any, vae: Any, half: bool = False) -> Path:
    """A world folder that has this painter and nothing else; ``half``: in fp16 as worlds ship."""
    folder.mkdir(parents=True)
    files = {}
    for role, model in (("unet", unet), ("vae", vae)):
        path = folder / f"{role}.safetensors"
        state = {key: value.clone() for key, value in model.state_dict().items()}
        if half:
            state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
        save_file(state, path)
        files[role] = {"path": path.name, "bytes": path.stat().st_size, "sha256": "0" * 64}
    manifest = {
        "format": "seedstory-world",
        "version": 1,
        "engine": "seed_story",
        "sizes": {},
        "files": files,
        "panel_size": [SIDE, SIDE],
        "painter": {"unet": UNET, "vae": VAE, "scheduler": SCHEDULER},
    }
    (folder / "world.json").write_text(json.dumps(manifest))
    return folder


def conditions(seed: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens [2, 16, 256] (positive, negative), pooled [2, 128], size ids [1, 6]."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn((2, TOKENS, WIDTH), generator=generator)
    pooled = torch.randn((2, POOLED), generator=generator)
    return tokens, pooled, torch.tensor([[float(SIDE), SIDE, 0, 0, SIDE, SIDE]])


def pictures(count: int = 2, seed: int = 3) -> torch.Tensor:
    """IMAGE [count, 512, 512, 3] of 0..1: random palette pixels, each enlarged 8 times."""
    generator = torch.Generator().manual_seed(seed)
    indices = torch.randint(len(PALETTE), (count, 64, 64), generator=generator)
    native = torch.tensor(PALETTE)[indices] / 255
    return native.repeat_interleave(8, 1).repeat_interleave(8, 2)
