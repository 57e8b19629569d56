"""A run whose encoders are there but have learnt nothing: for tests of the stages behind them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from seedstory_core.engines.seed_story.vision import Vision
from seedstory_core.painter.palette_vae import PaletteVae, PaletteVaeConfig
from seedstory_core.training.data import open_data
from seedstory_core.training.pictures import load_pictures
from seedstory_core.training.recipe import Recipe
from seedstory_core.training.stage import Job, quiet
from seedstory_core.training.vae import palette_of, whiten_stem

#: What the trainer's tiny recipe lacks for the later stages.
UNET = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "block_out_channels": [32, 64],
    "layers_per_block": 1,
    "transformer_layers_per_block": 1,
    "attention_head_dim": [1, 2],
    "cross_attention_dim": 32,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 32 + 6 * 256,
    "norm_num_groups": 32,
}
SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "rescale_betas_zero_snr": True,
}
FAST = {"lr": 3e-3, "warmup": 3, "ema": 0.9, "weight_decay": 0.0, "save_every": 1000}
STAGES = {
    "detokenizer": {**FAST, "steps": 40, "batch": 8, "options": {"check": 6}},
    "llm": {**FAST, "steps": 60, "batch": 4, "lr": 5e-3, "options": {"window": 4, "check": 4}},
    "adapt-detokenizer": {**FAST, "steps": 20, "batch": 8, "options": {"check": 6}},
}


def complete(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe of `tiny_recipe` with everything from the de-tokenizer on."""
    stages = {**recipe["stages"], **STAGES}
    world = {"title": "Tiny", "licence": "Apache-2.0"}
    return {**recipe, "unet": UNET, "scheduler": SCHEDULER, "stages": stages, "world": world}


def untrained_run(recipe: dict[str, Any], data: Path, run: Path) -> Job:
    """A job whose VAE (with whitened stem and unit latents) and vision are not trained."""
    job = Job(Recipe.from_json(complete(recipe)), data, run, quiet)
    pictures = load_pictures(open_data(data, "train"), job.recipe.native_size, job.cache())
    palette = [[int(part) for part in colour] for colour in palette_of(pictures)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = PaletteVae(PaletteVaeConfig.from_json({**job.recipe.vae, "palette": palette}))
        vision = Vision(job.recipe.sizes.vision)
    whiten_stem(vae, pictures)
    for name, module in (("vae", vae), ("vision", vision)):
        folder = job.folder(name)
        folder.mkdir(parents=True)
        save_file(module.state_dict(), folder / f"{name}.safetensors")
    (job.folder("vae") / "vae.json").write_text(json.dumps(vae.config.to_json()))
    return job


def with_options(job: Job, stage: str, **options: Any) -> Job:
    """``job`` with other options of one stage."""
    settings = job.recipe.stages[stage]
    changed = dataclasses.replace(settings, options={**settings.options, **options})
    recipe = dataclasses.replace(job.recipe, stages={**job.recipe.stages, stage: changed})
    return dataclasses.replace(job, recipe=recipe)
