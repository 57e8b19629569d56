"""A whole drawn world at the smallest sizes, with weights that mean nothing, to be adapted."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from seedstory_core.engines.seed_story.config import (
    DetokenizerConfig,
    LlmConfig,
    ResamplerConfig,
    SeedStoryConfig,
    VisionConfig,
)
from seedstory_core.engines.seed_story.detokenizer import Detokenizer
from seedstory_core.engines.seed_story.vision import Vision
from seedstory_core.images import encode_png
from seedstory_core.painter.palette_vae import PaletteVae, PaletteVaeConfig
from seedstory_core.picture_world.palette import PALETTE
from seedstory_core.picture_world.render import render, rgb
from seedstory_core.picture_world.stories import tell
from seedstory_core.training.initial import (
    initialise_detokenizer,
    initialise_mllm,
    initialise_resampler,
)
from seedstory_core.training.llm import Mllm
from seedstory_core.training.words import train_words, with_words
from seedstory_core.training.works import build_unet
from seedstory_core.weights.world_writer import write_world_json
from seedstory_core.world import World

SIZES = SeedStoryConfig(
    vision=VisionConfig(
        image_size=64,
        patch=16,
        width=16,
        layers=1,
        heads=2,
        mlp_width=32,
        grid=4,
        pool=ResamplerConfig(grid=2, width=16, source=16, heads=2, eps=1e-6),
    ),
    llm=LlmConfig(
        vocab=1, width=32, mlp_width=64, layers=2, heads=2, kv_heads=2, max_positions=2048
    ),
    input_resampler=ResamplerConfig(grid=2, width=32, source=16, heads=2),
    output_resampler=ResamplerConfig(grid=2, width=16, source=32, heads=2),
    detokenizer=DetokenizerConfig(
        source=16,
        width=16,
        depth=1,
        heads=2,
        head_width=8,
        mlp_width=32,
        tokens=4,
        prompt_widths=(8, 8),
        pooled_width=16,
    ),
)
UNET = {
    "sample_size": 4,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ["CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D"],
    "block_out_channels": [32],
    "layers_per_block": 1,
    "transformer_layers_per_block": 1,
    "attention_head_dim": [1],
    "cross_attention_dim": 16,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 64,
    "norm_num_groups": 32,
}
SCHEDULER = {
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "rescale_betas_zero_snr": True,
}


def palette_vae() -> PaletteVae:
    colours = tuple((int(r), int(g), int(b)) for r, g, b in PALETTE)
    config = PaletteVaeConfig(
        palette=colours, patch=16, width=32, blocks=0, latent_channels=4, enlarge=2
    )
    return PaletteVae(config).eval()


def write_tiny_world(folder: Path, stories: int = 6) -> World:
    """The same weights every time; its words are those of a few training stories."""
    torch.manual_seed(0)
    told = [tell(index, 10, "train") for index in range(stories)]
    captions = [panel.caption for story in told for panel in story]
    words = train_words(captions, folder / "tokenizer", SIZES.image_tokens, pieces=448)
    sizes = with_words(SIZES, words)
    vision, llm, pen = Vision(sizes.vision), Mllm(sizes), Detokenizer(sizes.detokenizer)
    initialise_resampler(vision.pool)
    initialise_mllm(llm)
    initialise_detokenizer(pen)
    unet, vae, side = build_unet(UNET), palette_vae(), sizes.vision.image_size
    with torch.no_grad():
        tokens, pooled = pen(vision(torch.zeros(1, 3, side, side)))
    constants = {"negative.tokens": tokens, "negative.pooled": pooled}
    states = {
        "vision": vision.state_dict(),
        "llm": llm.state_dict(),
        "detokenizer": {f"resampler.{k}": v for k, v in pen.state_dict().items()} | constants,
        "unet": unet.state_dict(),
        "vae": vae.state_dict(),
    }
    for name, state in states.items():
        tensors = {key: value.contiguous() for key, value in state.items()}
        save_file(tensors, folder / f"{name}.safetensors")
    (folder / "openings").mkdir()
    openings = []
    for number, story in enumerate(told[:3]):
        name = f"openings/{number}.png"
        small = torch.from_numpy(rgb(render(story[0].scene)))
        big = small.repeat_interleave(2, 0).repeat_interleave(2, 1)
        (folder / name).write_bytes(encode_png(big))
        openings.append({"image": name, "text": story[0].caption})
    tokenizer = {
        "tokenizer.model": "tokenizer/tokenizer.model",
        "tokenizer.added_tokens": "tokenizer/added_tokens.json",
        "tokenizer.config": "tokenizer/tokenizer_config.json",
        "tokenizer.special_tokens_map": "tokenizer/special_tokens_map.json",
    }
    return write_world_json(
        folder,
        title="Tiny",
        engine="seed_story",
        sizes=sizes.to_json(),
        files={**{name: f"{name}.safetensors" for name in states}, **tokenizer},
        panel_size=(128, 128),
        licence="Apache-2.0",
        provenance={"made_by": "tests"},
        painter={"unet": UNET, "vae": vae.config.to_json(), "scheduler": SCHEDULER},
        defaults={
            "sampling": {"class": "Sampling", "max_caption_tokens": 12},
            "paint": {"steps": 2, "guidance": 1.0},
        },
        openings=openings,
    )
