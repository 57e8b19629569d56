"""Sizes of a world from the shapes of its tensors; what shapes do not tell has official defaults.

Head counts, picture size and constants such as epsilon leave no trace in shapes. The official ones
are assumed by their rule (a head is 128 wide in the LLM, 104 in the visual tokenizer, 64 in the
de-tokenizer); other models name theirs in a JSON file of the same form as ``sizes`` in world.json.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isqrt
from typing import Any

from ....errors import SeedStoryError
from ..config import OFFICIAL, SeedStoryConfig

Shapes = Mapping[str, tuple[int, ...]]
Sizes = dict[str, Any]

HEAD_WIDTHS = {"llm": 128, "vision": 104, "resampler": 128, "detokenizer": 64}


def llm_sizes(shapes: Shapes, given: Mapping[str, Any]) -> Sizes:
    """Sizes of llm.safetensors: ``llm``, ``input_resampler``, ``output_resampler``."""
    vocab, width = shapes["model.embed_tokens.weight"]
    if shapes.get("lm_head.weight") != (vocab, width):
        raise SeedStoryError(
            f"The embedding has the shape {(vocab, width)}, but lm_head "
            f"{shapes.get('lm_head.weight')}; they must be equal. The agent file is not whole."
        )
    layer = "model.layers.0."
    fixed: Sizes = {
        "vocab": vocab,
        "width": width,
        "mlp_width": shapes[f"{layer}mlp.gate_proj.weight"][0],
        "layers": _count(shapes, r"model\.layers\.(\d+)\."),
    }
    own = _part(given, "llm")
    heads = _heads(own, width, "llm", "llm")
    keys = shapes[f"{layer}self_attn.k_proj.weight"][0]
    free = {
        "heads": heads,
        "kv_heads": keys // (width // heads),
        "max_positions": OFFICIAL.llm.max_positions,
        "eps": OFFICIAL.llm.eps,
        "theta": OFFICIAL.llm.theta,
    }
    return {
        "llm": _merge("llm", fixed, free, own),
        "input_resampler": _resampler("input_resampler", shapes, "input_resampler.", given),
        "output_resampler": _resampler("output_resampler", shapes, "output_resampler.", given),
    }


def vision_sizes(shapes: Shapes, given: Mapping[str, Any]) -> Sizes:
    """Sizes of vision.safetensors: ``vision``."""
    width, _, patch, _ = shapes["patches.weight"]
    own = dict(_part(given, "vision"))
    pool = _resampler(
        "vision.pool", shapes, "pool.", {"vision.pool": own.pop("pool", {})}, eps=1e-6
    )
    fixed: Sizes = {
        "patch": patch,
        "width": width,
        "layers": _count(shapes, r"blocks\.(\d+)\."),
        "mlp_width": shapes["blocks.0.up.weight"][0],
        "grid": isqrt(shapes["positions.weight"][0]),
    }
    free = {
        "image_size": OFFICIAL.vision.image_size,
        "heads": _heads(own, width, "vision", "vision"),
        "eps": OFFICIAL.vision.eps,
    }
    return {"vision": {**_merge("vision", fixed, free, own), "pool": pool}}


def detokenizer_sizes(shapes: Shapes, given: Mapping[str, Any]) -> Sizes:
    """Sizes of detokenizer.safetensors (names without their prefix): ``detokenizer``."""
    tokens, width = shapes["latents.weight"]
    inner = shapes["layers.0.attn.to_q.weight"][0]
    own = _part(given, "detokenizer")
    heads = _heads(own, inner, "detokenizer", "detokenizer")
    fixed: Sizes = {
        "source": shapes["proj_in.weight"][1],
        "width": width,
        "depth": _count(shapes, r"layers\.(\d+)\."),
        "mlp_width": shapes["layers.0.ff.up.weight"][0],
        "tokens": tokens,
        "prompt_widths": [shapes["prompt_1.weight"][0], shapes["prompt_2.weight"][0]],
        "pooled_width": shapes["pool.out_proj.weight"][0],
    }
    free = {"heads": heads, "head_width": inner // heads, "eps": OFFICIAL.detokenizer.eps}
    return {"detokenizer": _merge("detokenizer", fixed, free, own)}


def filled(sizes: Sizes) -> SeedStoryConfig:
    """A whole configuration from the parts known so far; the rest is made to fit.

    Lets one model be built and checked before the others are converted.
    """
    official = OFFICIAL.to_json()
    known = {**official, **sizes}
    features = known["vision"]["pool"]["width"]
    if "vision" not in sizes and "output_resampler" in sizes:
        out = sizes["output_resampler"]
        features = out["width"]
        pool = {**official["vision"]["pool"], "width": features, "grid": out["grid"]}
        known["vision"] = {**official["vision"], "pool": pool}
    if "llm" not in sizes:
        llm, grid = known["llm"], known["vision"]["pool"]["grid"]
        known["input_resampler"] = {**official["input_resampler"], "source": features}
        out = {**official["output_resampler"], "width": features, "source": llm["width"]}
        known["output_resampler"] = {**out, "grid": grid}
    if "detokenizer" not in sizes:
        known["detokenizer"] = {**official["detokenizer"], "source": features}
    return SeedStoryConfig.from_json(known)


def _resampler(
    name: str, shapes: Shapes, prefix: str, given: Mapping[str, Any], eps: float = 1e-5
) -> Sizes:
    rows, width = shapes[f"{prefix}query.weight"]
    own = _part(given, name)
    fixed = {
        "grid": isqrt(rows),
        "width": width,
        "source": shapes.get(f"{prefix}kv_proj.weight", (width, width))[1],
    }
    free = {"heads": _heads(own, width, "resampler", name), "eps": eps}
    return _merge(name, fixed, free, own)


def _heads(given: Mapping[str, Any], width: int, kind: str, where: str) -> int:
    heads = given.get("heads", width // HEAD_WIDTHS[kind] if not width % HEAD_WIDTHS[kind] else 0)
    if not isinstance(heads, int) or heads < 1 or width % heads:
        raise SeedStoryError(
            f"The number of heads of {where} (width {width}) is not in the file, and "
            f"official heads are {HEAD_WIDTHS[kind]} wide. Name it in a JSON file for --config: "
            f'{{"{where.split(".")[0]}": {{"heads": N}}}}.'
        )
    return heads


def _part(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = given.get(name, {})
    if not isinstance(part, Mapping):
        raise SeedStoryError(f"--config: {name!r} must be an object, got {part!r:.80}.")
    return part


def _merge(where: str, fixed: Sizes, free: Sizes, given: Mapping[str, Any]) -> Sizes:
    unknown = sorted(set(given) - set(fixed) - set(free))
    wrong = [
        f"{k} {given[k]!r} (the file: {fixed[k]})"
        for k in fixed
        if given.get(k, fixed[k]) != fixed[k]
    ]
    if unknown or wrong:
        raise SeedStoryError(
            f"--config: {where} has unknown sizes {unknown} or contradicts the file: {wrong}."
        )
    return {**fixed, **free, **{key: given[key] for key in given if key in free}}


def _count(shapes: Shapes, pattern: str) -> int:
    """Number of layers; layers are numbered from 0 without a gap."""
    found = {int(match[1]) for name in shapes if (match := re.match(pattern, name))}
    if found != set(range(len(found))):
        raise SeedStoryError(f"Layers are missing: there are only {sorted(found)}.")
    return len(found)
