"""The sizes of a folder of goldens, from its manifest and its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..engines.seed_story.config import (
    DetokenizerConfig,
    LlmConfig,
    ResamplerConfig,
    SeedStoryConfig,
    VisionConfig,
)
from ..errors import SeedStoryError
from .goldens import Goldens

POOL_HEAD = 128  # width of a head in the visual tokenizer's pool (qwen_visual.py)
VIT_EPS = 1e-6


def config_of(goldens: Goldens) -> SeedStoryConfig:
    """All sizes.

    Raises:
        SeedStoryError: the manifest lacks one.
    """
    try:
        llm, vision = _llm(goldens), _vision(goldens)
        width = vision.pool.width
        return SeedStoryConfig(
            vision=vision,
            llm=llm,
            input_resampler=_resampler(goldens.config, "in", llm.width, width),
            output_resampler=_resampler(goldens.config, "out", width, llm.width),
            detokenizer=_detokenizer(goldens.config["detok"], width),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SeedStoryError(
            f"{goldens.folder / 'MANIFEST.json'}: config lacks or misshapes {error}."
        ) from error


def _vision(goldens: Goldens) -> VisionConfig:
    vit = goldens.config["vit"]
    width, out = int(vit["width"]), int(vit["output_dim"])
    mlp = int(width * float(vit["mlp_ratio"]))
    grid = 16
    if goldens.find("visual_tokenizer"):
        file = goldens.checkpoint("visual_tokenizer")
        grid = round(file.shape("positional_embedding")[0] ** 0.5)
        mlp = file.shape("transformer.resblocks.0.mlp.c_fc.weight")[0]
    pool = ResamplerConfig(
        grid=round(int(vit["n_queries"]) ** 0.5),
        width=out,
        source=width,
        heads=int(vit.get("pool_heads") or max(1, out // POOL_HEAD)),
        eps=VIT_EPS,
    )
    return VisionConfig(
        image_size=int(vit["image_size"]),
        patch=int(vit["patch_size"]),
        width=width,
        layers=int(vit["layers"]),
        heads=int(vit["heads"]),
        mlp_width=mlp,
        grid=grid,
        pool=pool,
        eps=VIT_EPS,
    )


def _llm(goldens: Goldens) -> LlmConfig:
    stated = goldens.record("llama_config") if goldens.find("llama_config") else {}
    llm: Mapping[str, Any] = {**stated, **goldens.config["llm"]}
    heads = int(llm["num_attention_heads"])
    vocab = int(goldens.manifest.get("tokenizer", {}).get("len") or llm.get("vocab_size") or 0)
    if goldens.find("agent_pytorch_model"):
        file = goldens.checkpoint("agent_pytorch_model")
        vocab = file.shape("llm.base_model.model.model.embed_tokens.weight")[0]
    return LlmConfig(
        vocab=vocab,
        width=int(llm["hidden_size"]),
        mlp_width=int(llm["intermediate_size"]),
        layers=int(llm["num_hidden_layers"]),
        heads=heads,
        kv_heads=int(llm.get("num_key_value_heads") or heads),
        max_positions=int(llm.get("max_position_embeddings") or 2048),
        eps=float(llm.get("rms_norm_eps") or 1e-5),
        theta=float(llm.get("rope_theta") or 10000.0),
    )


def _resampler(config: Mapping[str, Any], side: str, width: int, source: int) -> ResamplerConfig:
    heads = int(config.get(f"{side}_heads") or max(1, width // POOL_HEAD))
    return ResamplerConfig(int(config[f"{side}_grid"]), width, source, heads)


def _detokenizer(detok: Mapping[str, Any], source: int) -> DetokenizerConfig:
    width = int(detok["dim"])
    return DetokenizerConfig(
        source=source,
        width=width,
        depth=int(detok["depth"]),
        heads=int(detok["heads"]),
        head_width=int(detok["dim_head"]),
        mlp_width=int(width * detok.get("ff_mult", 4)),
        tokens=int(detok["num_queries"]),
        prompt_widths=(int(detok["output1_dim"]), int(detok["output2_dim"])),
        pooled_width=int(detok["output2_dim"]),
    )
