"""The goldens as a world folder, as conversion would lay it out: for tests of whole engines."""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import save_file

from seedstory_core.parity.goldens import Goldens
from seedstory_core.parity.models import Models
from seedstory_core.weights.world_writer import write_world_json
from seedstory_core.world import World

GOLDEN = Path(__file__).parents[1] / "golden" / "seed_story"
TOKENIZER = {
    "tokenizer.model": "tokenizer.model",
    "tokenizer.added_tokens": "added_tokens.json",
    "tokenizer.config": "tokenizer_config.json",
    "tokenizer.special_tokens_map": "special_tokens_map.json",
}


@lru_cache(maxsize=1)
def golden_models() -> Models:
    """The golden set's models; shared by all tests, which must not change them."""
    return Models(Goldens(GOLDEN))


def write_golden_world(folder: Path, **changes: object) -> World:
    """A world of the goldens' weights; ``changes`` go into world.json."""
    models = golden_models()
    folder.mkdir(parents=True)
    shutil.copytree(GOLDEN / "tokenizer", folder / "tokenizer")
    size = models.config.vision.image_size
    with torch.inference_mode():
        tokens, pooled = models.detokenizer(models.vision(torch.zeros(1, 3, size, size)))
    unet = {f"unet.{k}": v for k, v in models.unet.state_dict().items() if "to_k" in k}
    resampler = {f"resampler.{k}": v for k, v in models.detokenizer.state_dict().items()}
    constants = {"negative.tokens": tokens, "negative.pooled": pooled}
    for name, state in (
        ("llm", models.mllm.state_dict()),
        ("vision", models.vision.state_dict()),
        ("detokenizer", resampler | constants | unet),
    ):
        plain = {key: value.detach().clone().contiguous() for key, value in state.items()}
        save_file(plain, folder / f"{name}.safetensors")
    files = {name: f"{name}.safetensors" for name in ("llm", "vision", "detokenizer")}
    files |= {role: f"tokenizer/{name}" for role, name in TOKENIZER.items()}
    about: dict = {
        "title": "Goldens",
        "engine": "seed_story",
        "sizes": models.config.to_json(),
        "files": files,
        "panel_size": (64, 64),
        "licence": "test",
        "provenance": {},
    }
    return write_world_json(folder, **(about | changes))
