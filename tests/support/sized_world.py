"""Babble with an LLM of another size: large enough that its memory stands out."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from seedstory_core.babble import make_world
from seedstory_core.engines.seed_story.memory import Memory

HEAD = 64  # width of a head


def make_sized_world(folder: Path, width: int, mlp_width: int, layers: int) -> Path:
    """Babble in ``folder`` with an LLM of these sizes, its random weights stored as fp16."""
    make_world(folder)
    data = json.loads((folder / "world.json").read_text())
    sizes, heads = data["sizes"], width // HEAD
    sizes["llm"] |= {"width": width, "mlp_width": mlp_width, "layers": layers}
    sizes["llm"] |= {"heads": heads, "kv_heads": heads}
    sizes["input_resampler"] |= {"width": width, "heads": heads}
    sizes["output_resampler"]["source"] = width
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in Memory.of(sizes).build("llm").state_dict().items()}
    generator = torch.Generator().manual_seed(1)
    state = {
        key: torch.ones(shape).half()
        if len(shape) == 1 and "bias" not in key
        else (0.05 * torch.randn(shape, generator=generator)).half()
        for key, shape in shapes.items()
    }
    save_file(state, folder / "llm.safetensors")
    data["files"]["llm"]["bytes"] = (folder / "llm.safetensors").stat().st_size
    (folder / "world.json").write_text(json.dumps(data))
    return folder
