"""Worlds for tests that are not shipped: one that changes an SDXL base, as the official ones do."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from seedstory_core.babble import make_world
from seedstory_core.weights.world_writer import write_world_json
from seedstory_core.world import World

#: Two of the tiny SDXL's 64-wide projections, in diffusers' names.
CHANGED = "down_blocks.{}.attentions.0.transformer_blocks.0.attn2.{}.weight"
BORROWED = ("sizes", "panel_size", "licence", "defaults", "openings")


def make_patch_world(folder: Path, level: int = 1) -> World:
    """Babble without its painter; it changes two weights of a tiny SDXL base instead.

    The tiny SDXL has attention at levels 1 and 2 only: with another ``level`` it does not fit.
    """
    make_world(folder)
    data = json.loads((folder / "world.json").read_text())
    for name in ("unet", "vae"):
        (folder / data["files"].pop(name)["path"]).unlink()
    detokenizer = folder / data["files"]["detokenizer"]["path"]
    state = load_file(detokenizer)
    generator = torch.Generator().manual_seed(5)
    for name in ("to_k", "to_v"):
        weight = torch.randn(64, 2048, generator=generator) * 0.1
        state[f"unet.{CHANGED.format(level, name)}"] = weight.half()
    save_file(state, detokenizer)
    return write_world_json(
        folder,
        title="Patch",
        engine=data["engine"],
        files={role: entry["path"] for role, entry in data["files"].items()},
        provenance={"made_by": "tests"},
        **{name: data[name] for name in BORROWED},
    )
