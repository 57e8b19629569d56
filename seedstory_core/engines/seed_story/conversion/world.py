"""All inputs of a conversion in their order, and the world.json at the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....errors import SeedStoryError
from ....files import sha256_of
from ....types import Progress, no_progress
from ....weights.catalog import CATALOG, NEEDED, licence_names
from ....weights.outputs import hash_of, told_by
from ....weights.world_writer import write_world_json
from ....world import World
from ..prompt import Vocabulary
from ..tokenizer import Tokenizer
from .detokenizer import convert_detokenizer
from .inputs import (
    DETOKENIZER,
    LLM,
    TOKENIZER,
    TOKENIZER_FILES,
    UNET,
    VISION,
    Options,
    convert_agent,
    convert_tokenizer,
    convert_visual,
    missing_inputs,
)
from .sizes import filled

ENGINE = "seed_story"


@dataclass(frozen=True)
class Inputs:
    """Official files; each may be None and come in another call."""

    tokenizer: Path | None = None
    agent: Path | None = None
    visual: Path | None = None
    detokenizer: Path | None = None
    base: Path | None = None


@dataclass(frozen=True)
class Labels:
    """What a world says of itself; None means the official world's."""

    title: str | None = None
    licence: str | None = None


def convert(
    world: Path,
    inputs: Inputs,
    options: Options | None = None,
    labels: Labels | None = None,
    progress: Progress = no_progress,
) -> World | None:
    """Convert what is given; the world when it is complete, else None (see `missing_inputs`).

    May be stopped and run again at any time: a file is whole under its name or absent, and what is
    there already from the same inputs is not made again.

    Raises:
        SeedStoryError: an input is damaged, foreign, or does not fit the others; no room.
    """
    options = options or Options()
    if inputs.base is not None and inputs.detokenizer is None:
        raise SeedStoryError(
            "--sdxl-base is what the de-tokenizer is compared with: give --detokenizer with it."
        )
    world.mkdir(parents=True, exist_ok=True)
    if inputs.tokenizer is not None:
        convert_tokenizer(world, inputs.tokenizer)
    if inputs.agent is not None:
        convert_agent(world, inputs.agent, options, progress)
    if inputs.visual is not None:
        convert_visual(world, inputs.visual, options, progress)
    if inputs.detokenizer is not None:
        convert_detokenizer(world, inputs.detokenizer, inputs.base, options, progress)
    return None if missing_inputs(world) else finish(world, labels or Labels())


def finish(world: Path, labels: Labels) -> World:
    """Check that the parts belong together, and write world.json.

    Raises:
        SeedStoryError: parts contradict each other, or the negative embedding is of another vision.
    """
    llm, vision, detokenizer = (_told(world / name) for name in (LLM, VISION, DETOKENIZER))
    if detokenizer["recipe"]["vision"] != hash_of(world / VISION):
        raise SeedStoryError(
            f"{world / DETOKENIZER} was made with another visual tokenizer than the one that is "
            "there now. Convert the de-tokenizer again (--detokenizer)."
        )
    sizes = {}
    for told in (llm, vision, detokenizer):
        sizes.update(told["facts"]["sizes"])
    config = filled(sizes)
    Vocabulary(Tokenizer.from_folder(world / TOKENIZER), config.image_tokens, config.llm.vocab)
    facts = detokenizer["facts"]
    files = _files(world, own_unet=facts["painter"] is not None)
    width, height = facts["panel_size"]
    return write_world_json(
        world,
        title=labels.title or world.name,
        engine=ENGINE,
        sizes=config.to_json(),
        files=files,
        panel_size=(width, height),
        licence=labels.licence or licence_names(e for e in CATALOG if e.group in NEEDED),
        provenance={
            "made_by": "python -m seedstory_core convert",
            "agent": _origin(llm, "lora_alpha"),
            "visual": _origin(vision),
            "detokenizer": _origin(detokenizer, "base"),
        },
        painter=facts["painter"],
        identity=_identity(world, llm, vision),
        hashes={name: hash_of(world / name) for name in files.values() if TOKENIZER not in name},
    )


def _identity(world: Path, llm: Mapping[str, Any], vision: Mapping[str, Any]) -> str:
    """sha256 over what the telling parts were made from: the same official files give the same on
    every machine, where the last bits of merged weights do not."""
    words = sha256_of(world / TOKENIZER / TOKENIZER_FILES["tokenizer.model"])
    body = json.dumps([llm["recipe"], vision["recipe"], words], sort_keys=True)
    return hashlib.sha256(body.encode()).hexdigest()


def _files(world: Path, own_unet: bool) -> dict[str, str]:
    files = {"llm": LLM, "vision": VISION, "detokenizer": DETOKENIZER}
    if own_unet:
        files["unet"] = UNET
    for role, name in TOKENIZER_FILES.items():
        if (world / TOKENIZER / name).is_file():
            files[role] = f"{TOKENIZER}/{name}"
    return files


def _told(path: Path) -> dict[str, Any]:
    told = told_by(path)
    if told is None:
        raise SeedStoryError(f"{path} is missing or damaged; convert its input again.")
    return told


def _origin(told: Mapping[str, Any], *more: str) -> dict[str, Any]:
    facts = told["facts"]
    return {**facts["source"], "dtype": told["recipe"]["dtype"], **{k: facts[k] for k in more}}
