"""A tiny world that babbles: real models at toy sizes with random weights, made on the spot.

It needs no download and tells in a second, so that everything can be tried and tested; its words
and pictures mean nothing, and it says so.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import torch
from safetensors.torch import save

from ..context import Window
from ..engines.seed_story.config import (
    DetokenizerConfig,
    LlmConfig,
    ResamplerConfig,
    SeedStoryConfig,
    VisionConfig,
)
from ..engines.seed_story.detokenizer import Detokenizer
from ..engines.seed_story.vision import Vision
from ..errors import SeedStoryError
from ..files import atomic_write_bytes
from ..images import encode_png
from ..sampling import Nucleus, Sampling, describe
from ..schedule import SDXL
from ..weights.world_writer import write_world_json
from ..world import World, load_world
from .drawings import TEXTS, drawings
from .shapes import UNET, VAE
from .weights import State, detokenizer_state, half, llm_state, unet_state, vae_state, vision_state
from .words import IMAGE_TOKENS, PIECES, write_tokenizer

logger = logging.getLogger(__name__)

NOTICE = (
    "This world babbles: its weights are random numbers made on the spot, nothing in it is "
    "trained. Its words and pictures mean nothing; they show that the machinery runs."
)
WIDTH = 64  # of picture features and of the LLM
TOKENIZER_FILES = {
    "tokenizer.model": "tokenizer/tokenizer.model",
    "tokenizer.added_tokens": "tokenizer/added_tokens.json",
    "tokenizer.config": "tokenizer/tokenizer_config.json",
    "tokenizer.special_tokens_map": "tokenizer/special_tokens_map.json",
}

SIZES = SeedStoryConfig(
    vision=VisionConfig(
        image_size=112,
        patch=14,
        width=WIDTH,
        layers=2,
        heads=4,
        mlp_width=128,
        grid=8,
        pool=ResamplerConfig(grid=16, width=WIDTH, source=WIDTH, heads=4, eps=1e-6),
    ),
    llm=LlmConfig(
        vocab=PIECES + len(IMAGE_TOKENS),
        width=WIDTH,
        mlp_width=160,
        layers=2,
        heads=4,
        kv_heads=4,
        max_positions=4096,
    ),
    input_resampler=ResamplerConfig(grid=8, width=WIDTH, source=WIDTH, heads=4),
    output_resampler=ResamplerConfig(grid=16, width=WIDTH, source=WIDTH, heads=4),
    detokenizer=DetokenizerConfig(
        source=WIDTH,
        width=WIDTH,
        depth=2,
        heads=4,
        head_width=16,
        mlp_width=128,
        tokens=64,
        prompt_widths=(768, 1280),
        pooled_width=1280,
    ),
)


def make_world(folder: Path, seed: int = 0) -> World:
    """Write the babbling world into ``folder`` (about 10 MB); the same seed gives the same bytes.

    Returns: the world, read back from world.json.
    """
    generator = torch.Generator().manual_seed(seed)
    words = write_tokenizer(folder / "tokenizer")
    vision = half(vision_state(SIZES, generator))
    detokenizer = half(detokenizer_state(SIZES, generator))
    states = {
        "llm": half(llm_state(SIZES, words, generator)),
        "vision": vision,
        "detokenizer": {
            **{f"resampler.{name}": tensor for name, tensor in detokenizer.items()},
            **_negative(vision, detokenizer),
        },
        "unet": half(unet_state(generator)),
        "vae": half(vae_state(generator)),
    }
    for name, state in states.items():
        atomic_write_bytes(folder / f"{name}.safetensors", save(state))
    for number, picture in enumerate(drawings()):
        atomic_write_bytes(folder / f"openings/{number:02d}.png", encode_png(picture))
    return write_world_json(
        folder,
        title="Babble",
        engine="seed_story",
        sizes=SIZES.to_json(),
        files={**{name: f"{name}.safetensors" for name in states}, **TOKENIZER_FILES},
        panel_size=(64, 64),
        licence="Apache-2.0",
        provenance={
            "made_by": "seedstory_core.babble",
            "seed": seed,
            "recipe": _recipe(),
            "trained": False,
        },
        painter={"unet": dict(UNET), "vae": dict(VAE), "scheduler": dict(SDXL)},
        defaults={
            "sampling": describe(
                Sampling(
                    picker=Nucleus(temperature=1.0, top_p=0.95),
                    repetition_penalty=1.1,
                    max_caption_tokens=24,
                )
            ),
            "context": describe(Window(8)),
            "paint": {"steps": 12},
        },
        openings=[
            {"image": f"openings/{number:02d}.png", "text": text}
            for number, text in enumerate(TEXTS)
        ],
        notice=NOTICE,
    )


def cached_world(folder: Path, seed: int = 0) -> World:
    """The babbling world in ``folder``, made anew only if it is absent, damaged or of old code."""
    try:
        world = load_world(folder)
        if (world.provenance.get("recipe"), world.provenance.get("seed")) == (_recipe(), seed):
            for role, entry in world.files.items():
                if world.file(role).stat().st_size != entry.bytes:
                    raise SeedStoryError(f"{entry.path} is cut short")
            return world
    except SeedStoryError as error:
        logger.debug("making the babbling world: %s", error)
    return make_world(folder, seed)


def _recipe() -> str:
    """Digest of the code that makes the world."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


@torch.no_grad()
def _negative(vision: State, detokenizer: State) -> State:
    """The constant conditioning of a grey picture, computed as a conversion computes it."""
    eye, pen = Vision(SIZES.vision), Detokenizer(SIZES.detokenizer)
    eye.load_state_dict(vision)
    pen.load_state_dict(detokenizer)
    side = SIZES.vision.image_size
    tokens, pooled = pen(eye(torch.zeros(1, 3, side, side)))
    return {"negative.tokens": tokens.half(), "negative.pooled": pooled.half()}
