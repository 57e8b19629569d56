"""Sizes and small helpers of the made goldens (`make_goldens`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from seedstory_core.engines.seed_story.tokenizer import Tokenizer

CONFIG: dict[str, Any] = {
    "img_order": "img_boi_eoi",
    "n_img": 16,
    "vit": {
        "width": 48, "layers": 2, "heads": 3, "patch_size": 8, "image_size": 48,
        "mlp_ratio": 2.5, "n_queries": 64, "output_dim": 96,
    },
    "llm": {
        "hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
    },
    "lora": {"r": 4, "alpha": 12},
    "in_grid": 4, "out_grid": 8, "in_heads": 2, "out_heads": 3, "window": 3, "panels": 5,
    "detok": {
        "dim": 32, "depth": 3, "dim_head": 12, "heads": 2, "num_queries": 5,
        "output1_dim": 16, "output2_dim": 48, "ff_mult": 3,
    },
}  # fmt: skip
UNET: dict[str, Any] = {
    "sample_size": 8, "in_channels": 4, "out_channels": 4,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"], "cross_attention_dim": 64,
    "use_linear_projection": True, "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4, "projection_class_embeddings_input_dim": 72,
    "block_out_channels": [8, 24], "attention_head_dim": [2, 3],
    "transformer_layers_per_block": [1, 2], "norm_num_groups": 4, "layers_per_block": 1,
}  # fmt: skip
SCHEDULER = {
    "beta_start": 0.001, "beta_end": 0.013, "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000, "prediction_type": "epsilon", "steps_offset": 1,
    "timestep_spacing": "leading", "interpolation_type": "linear", "use_karras_sigmas": False,
}  # fmt: skip
SENTENCES = ("Tom ran to the lake.", "Anna saw a red boat.", "They went home at night.")
LIMIT = 80


def slots_of(words: Tokenizer) -> list[int]:
    return [words.id_of(f"<img_{i:05d}>") for i in range(CONFIG["n_img"])]


def image_of(words: Tokenizer) -> str:
    return "<img>" + "".join(f"<img_{i:05d}>" for i in range(CONFIG["n_img"])) + "</img>"


def save(folder: Path, name: str, tensors: Mapping[str, Tensor]) -> None:
    plain = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    save_file(plain, folder / f"{name}.safetensors")


def io_entry(name: str, atol: float, **more: float) -> dict[str, Any]:
    return {f"{name}.safetensors": {"tol": {"atol": atol, "rtol": 1e-4, **more}}}
