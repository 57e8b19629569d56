"""Puts the trained parts of a run together into a world folder, in fp16."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import inf
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from ..babble import TOKENIZER_FILES
from ..context import Window
from ..engines.seed_story.config import SeedStoryConfig
from ..engines.seed_story.detokenizer import Detokenizer
from ..engines.seed_story.vision import Vision
from ..errors import SeedStoryError
from ..files import atomic_write_bytes, human, sha256_of
from ..images import encode_png, enlarge, read_picture
from ..parts import load_strict
from ..sampling import Sampling, describe
from ..schedule import SDXL
from ..weights.world_writer import write_world_json
from .adapt_detokenizer import NAME as ADAPT
from .data import open_data
from .detokenizer import NAME as DETOKENIZER
from .encoded import enlargement, zero_features
from .llm import NAME as LLM
from .llm import open_words
from .stage import Job
from .vae import newest_vae

State = Mapping[str, Tensor]
OPENINGS = 10
MAX_BYTES = 40 * 10**6
#: What a recipe's ``world`` may say.
FIELDS = ("title", "licence", "notice", "defaults", "openings_seed", "max_bytes", "provenance")


def run(job: Job) -> None:
    """Write ``job.out`` (or ``run/world``); figures in ``run/figures.json`` go into its provenance.

    Raises:
        SeedStoryError: a stage has not ended, or the world is larger than the recipe allows.
    """
    unknown = sorted(set(job.recipe.world) - set(FIELDS))
    if unknown:
        raise SeedStoryError(
            f"Unknown in the recipe's world: {', '.join(unknown)}. Expected {', '.join(FIELDS)}."
        )
    folder = job.out or job.run / "world"
    stories = open_data(job.data, "train")
    sizes, _ = open_words(job, stories)
    states = _states(job, sizes)
    data = {name: save({k: v.contiguous() for k, v in s.items()}) for name, s in states.items()}
    openings = list(_openings(job))
    tokenizer = {name: (job.run / name).read_bytes() for name in TOKENIZER_FILES.values()}
    pictures = {f"openings/{at:02d}.png": encode_png(one) for at, (one, _) in enumerate(openings)}
    files = {f"{name}.safetensors": value for name, value in data.items()} | tokenizer | pictures
    _check_size(job, sum(map(len, files.values())))
    for name, value in files.items():
        atomic_write_bytes(folder / name, value)
    about = job.recipe.world
    side = job.recipe.native_size * enlargement(job)
    write_world_json(
        folder,
        title=str(about.get("title", folder.name)),
        engine="seed_story",
        sizes=sizes.to_json(),
        files={**{name: f"{name}.safetensors" for name in data}, **TOKENIZER_FILES},
        panel_size=(side, side),
        licence=str(about.get("licence", "unknown")),
        provenance=_provenance(job),
        painter=_painter(job),
        defaults=_defaults(job),
        openings=[
            {"image": name, "text": text}
            for name, (_, text) in zip(pictures, openings, strict=True)
        ],
        notice=str(about.get("notice", "")),
    )


def _states(job: Job, sizes: SeedStoryConfig) -> dict[str, State]:
    """All weights of the world in fp16, by file."""
    painted = ADAPT if (job.folder(ADAPT) / "unet.safetensors").is_file() else DETOKENIZER
    vision = _half(load_file(job.result("vision", "vision")))
    pen = _half(load_file(job.result(painted, "detokenizer")))
    return {
        "llm": _half(load_file(job.result(LLM, "llm"))),
        "vision": vision,
        "detokenizer": {
            **{f"resampler.{name}": value for name, value in pen.items()},
            **negative(sizes, vision, pen),
        },
        "unet": _half(load_file(job.result(painted, "unet"))),
        "vae": _half(load_file(newest_vae(job))),
    }


def _half(state: State) -> dict[str, Tensor]:
    """fp16; whole numbers, as counters, stay.

    Raises:
        SeedStoryError: a weight is too large, or no number.
    """
    halves = {}
    for name, value in state.items():
        halves[name] = value.half() if value.is_floating_point() else value
        if value.is_floating_point() and not halves[name].isfinite().all():
            raise SeedStoryError(f"The weight {name} holds numbers that fp16 cannot. Train anew.")
    return halves


@torch.no_grad()
def negative(sizes: SeedStoryConfig, vision: State, detokenizer: State) -> dict[str, Tensor]:
    """The constant conditioning of no picture, computed as a conversion computes it."""
    eye, pen = Vision(sizes.vision), Detokenizer(sizes.detokenizer)
    load_strict(eye, {name: value.float() for name, value in vision.items()}, "vision")
    load_strict(pen, {name: value.float() for name, value in detokenizer.items()}, "detokenizer")
    tokens, pooled = pen(zero_features(eye, sizes))
    return {"negative.tokens": tokens.half(), "negative.pooled": pooled.half()}


def _openings(job: Job) -> Iterator[tuple[Tensor, str]]:
    """Pictures uint8 [H, W, 3] and sentences to begin with, which training has not seen."""
    factor = enlargement(job)
    if (job.data / "scenes").is_dir():
        from ..picture_world.dataset import openings
        from ..picture_world.render import render, rgb

        for one in openings(int(job.recipe.world.get("openings_seed", 1)), OPENINGS):
            picture = torch.from_numpy(rgb(render(one.scene, one.freedom)))
            yield enlarge(picture, factor), one.caption
        return
    split = "val" if (job.data / "val.jsonl").is_file() else "train"
    for tale in open_data(job.data, split).tales[:OPENINGS]:
        yield read_picture(job.data / tale.images[0]), tale.captions[0]


def _painter(job: Job) -> dict[str, Any]:
    vae = json.loads(newest_vae(job).with_name("vae.json").read_text(encoding="utf-8"))
    scheduler = {**SDXL, **job.recipe.scheduler}
    return {"unet": dict(job.recipe.unet), "vae": vae, "scheduler": scheduler}


def _defaults(job: Job) -> dict[str, Any]:
    """How the world is told and painted by default; the recipe has the last word."""
    window = job.settings(LLM).option("window", 9)
    return {
        "sampling": describe(Sampling(max_caption_tokens=96, suppress=-inf)),
        "context": describe(Window(max(1, window - 1))),  # the window's last panel is the response
        "paint": {"steps": 8, "guidance": 1.0},
        **job.recipe.world.get("defaults", {}),
    }


def _provenance(job: Job) -> dict[str, Any]:
    """How the world was made: commands, recipe with its seeds, data, figures."""
    data = {}
    for path in sorted(job.data.glob("*.jsonl")):
        stories = open_data(job.data, path.stem)
        data[path.stem] = {
            "stories": len(stories.tales),
            "pictures": len(stories),
            "sha256": sha256_of(path),
        }
    figures = job.run / "figures.json"
    known = json.loads(figures.read_text(encoding="utf-8")) if figures.is_file() else {}
    return {
        "made_by": "seedstory_core.training",
        "commands": ["seedstory train all --data DATA --recipe RECIPE --run RUN"],
        "trained": True,
        "recipe": job.recipe.to_json(),
        "data": data,
        "steps": {name: _steps(job.folder(name)) for name in job.recipe.stages},
        "torch": str(torch.__version__),
        "figures": known,
        **job.recipe.world.get("provenance", {}),
    }


def _steps(folder: Path) -> dict[str, Any]:
    """The last line of a stage's figures."""
    path = folder / "metrics.jsonl"
    if not path.is_file():
        return {}
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    merged: dict[str, Any] = {}
    for line in lines[-2:]:
        merged |= json.loads(line)
    return {k: v for k, v in merged.items() if k in ("step", "loss") or k.startswith("val_")}


def _check_size(job: Job, size: int) -> None:
    limit = int(job.recipe.world.get("max_bytes", MAX_BYTES))
    if size > limit:
        raise SeedStoryError(
            f"The world would take {human(size)}, the recipe allows {human(limit)} "
            "(world.max_bytes). Make its models smaller, or raise the limit."
        )
