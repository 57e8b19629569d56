"""How far LoRA, ControlNet and blends of two panels steer a world's pictures, read by the probes.

All panels are of held-out stories, painted from their true features with a noise of their own,
which stays the same at every strength: so differences are the steering's alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ..errors import SeedStoryError
from ..painter.edges import agreement, hints
from ..painter.steering import HINT_FACTOR, ControlledUnet, open_control, read_addition, with_lora
from ..picture_world.render import draw_freedom
from ..picture_world.scene import Scene
from ..picture_world.stories import tell
from ..training.style_lora import STYLES, styled
from ..types import Conditioning, no_progress
from .evaluate import Judge, Stages
from .intervals import mean_of, share_of
from .references import read_features
from .sight import ALL_RIGHT, Sight, judge_picture
from .starts import FIRST_SEED
from .steered import (
    Sample,
    Shown,
    apart,
    averaged,
    colours,
    columns_right,
    edges_of,
    paint_conditioning,
    pairs_of,
    probability_of,
    rises,
    with_unet,
)

FORMAT, VERSION = "seedstory-steering", 1
STRENGTHS = (0.0, 0.5, 1.0)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
PANELS = 8  # of each story
#: Rows of `judge_picture` that are told; which others hold follows from `ALL_RIGHT`.
TOLD_ROWS = ("present", "accessory", "colours", "place", "time", "weather", "prop", ALL_RIGHT)


@dataclass(frozen=True)
class Steering:
    """What is to be measured.

    Attributes:
        stories: held-out stories of `PANELS` panels each.
        lora, controlnet: files; None measures none.
        style: of `STYLES`, which the LoRA was trained for.
    """

    stories: int = 20
    lora: Path | None = None
    controlnet: Path | None = None
    style: str = "night"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.stories <= 10_000:
            raise SeedStoryError(f"Judge 1 to 10000 stories, got {self.stories}.")
        if self.style not in STYLES:
            raise SeedStoryError(f"Styles are {', '.join(STYLES)}, got {self.style!r:.80}.")


def measure(
    judge: Judge, request: Steering, stages: Stages = lambda name: no_progress
) -> dict[str, Any]:
    """Everything that was asked for, as plain JSON.

    Raises:
        SeedStoryError: a file is damaged or does not fit the world.
    """
    sample = draw_sample(judge, request)
    result: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "world": {"name": judge.world.name, "digest": judge.world.digest},
        "seed": request.seed,
        "panels": len(sample.panels),
    }
    if request.lora is not None:
        result["lora"] = measure_lora(judge, sample, request.lora, request.style, stages)
    if request.controlnet is not None:
        result["controlnet"] = measure_control(judge, sample, request.controlnet, stages)
    return {**result, "blend": measure_blend(judge, sample, stages)}


def draw_sample(judge: Judge, request: Steering) -> Sample:
    """Panels of test stories, deterministic by seed."""
    panels = []
    for number in range(request.stories):
        own = FIRST_SEED + request.seed * 10_000 + number
        rng = random.Random(own)
        for item in tell(own, PANELS, "test"):
            panels.append(Shown(number, item.scene, draw_freedom(rng)))
    pictures = np.stack([panel.picture() for panel in panels])
    features = read_features(judge.engine, [pictures])
    seeds = [request.seed * 1_000_003 + at for at in range(len(panels))]
    return Sample(panels, pictures, features, seeds)


def measure_lora(
    judge: Judge, sample: Sample, file: Path, style: str, stages: Stages
) -> dict[str, Any]:
    """At each strength: is the style there, is everything else kept, how near are the colours?"""
    wanted = [styled(panel.scene, style) for panel in sample.panels]
    rows = [at for at, panel in enumerate(sample.panels) if wanted[at] != panel.scene]
    if not rows:
        raise SeedStoryError(f"All judged panels have the style {style!r} already; judge more.")
    sample, wanted = sample[rows], [wanted[at] for at in rows]
    pairs = list(zip(sample.panels, wanted, strict=True))
    truth = colours(np.stack([panel.picture(scene) for panel, scene in pairs]))
    plain = colours(sample.pictures)
    state, unet = read_addition(file), judge.painter.painter.unet
    found = {}
    for strength in STRENGTHS:
        painter = with_unet(judge.painter, with_lora(unet, state, strength))
        pictures = painter.paint(sample.features, sample.seeds, stages(f"LoRA {strength:g}"))
        sights = judge.probes.read(pictures)
        seen = zip(sights, wanted, strict=True)
        there = [all(getattr(s, k) == getattr(w, k) for k in STYLES[style]) for s, w in seen]
        rows_of = _judged(wanted, sights, sample.stories)
        shown = colours(pictures)
        found[f"{strength:g}"] = {
            "style": share_of(there, sample.stories).to_json(),
            **rows_of,
            "colours_from_styled": mean_of(apart(shown, truth), sample.stories).to_json(),
            "colours_from_plain": mean_of(apart(shown, plain), sample.stories).to_json(),
        }
    return {"style": style, "panels": len(rows), "strengths": found}


def measure_control(judge: Judge, sample: Sample, file: Path, stages: Stages) -> dict[str, Any]:
    """At each strength: do edges and figures lie where the hint has them, is all else right?"""
    unet = judge.painter.painter.unet
    control = open_control(unet, file)
    edges = edges_of(sample.pictures)
    width, height = (side // judge.painter.painter.factor for side in judge.painter.painter.size)
    whole = F.interpolate(hints(edges), (HINT_FACTOR * height, HINT_FACTOR * width))
    scenes = [panel.scene for panel in sample.panels]
    found = {}
    for strength in STRENGTHS:
        progress = stages(f"ControlNet {strength:g}")
        parts = []
        for start in range(0, len(scenes), judge.painter.at_once):
            progress(start, len(scenes))
            some = range(start, min(start + judge.painter.at_once, len(scenes)))
            steered = ControlledUnet(unet, control, whole[list(some)], strength)
            painter = with_unet(judge.painter, steered)
            parts.append(painter.paint(sample[some].features, sample[some].seeds))
        pictures = np.concatenate(parts)
        follow = agreement(edges_of(pictures), edges).double().numpy()
        placed = columns_right(judge.probes.probabilities(pictures), sample.panels)
        found[f"{strength:g}"] = {
            "edges": mean_of(follow, sample.stories).to_json(),
            "columns": share_of(placed, sample.stories).to_json(),
            **_judged(scenes, judge.probes.read(pictures), sample.stories),
        }
    return {"panels": len(scenes), "strengths": found}


def measure_blend(judge: Judge, sample: Sample, stages: Stages) -> dict[str, Any]:
    """What the probes see of two panels while one turns into the other.

    ``features`` are blended before the de-tokenizer; ``conditioning`` after it, as the stock node
    Conditioning Average does with two Story Conditionings.
    """
    pairs = pairs_of(sample.panels)
    if not pairs:
        raise SeedStoryError("No two judged panels differ in place and in everybody; judge more.")
    one, two = (sample[[pair[at] for pair in pairs]] for at in (0, 1))
    first, last = (judge.engine.condition_features(part.features) for part in (one, two))

    def by_features(share: float) -> Conditioning:
        mixed = torch.lerp(one.features.tensor, two.features.tensor, share)
        return judge.engine.condition_features(replace(one.features, tensor=mixed))

    ways: Mapping[str, Callable[[float], Conditioning]] = {
        "features": by_features,
        "conditioning": lambda share: averaged(first, last, share),
    }
    found: dict[str, Any] = {"pairs": len(pairs)}
    for name, way in ways.items():
        seen = []
        for share in SHARES:
            progress = stages(f"blend of {name} {share:g}")
            pictures = paint_conditioning(judge.painter, way(share), one.seeds, progress)
            said = judge.probes.probabilities(pictures)
            seen.append(
                {
                    f"{what}_{which}": value
                    for which, part in (("first", one), ("second", two))
                    for what, value in probability_of(said, part.panels).items()
                }
            )
        found[name] = {
            "shares": {
                f"{share:g}": {k: mean_of(v, one.stories).to_json() for k, v in values.items()}
                for share, values in zip(SHARES, seen, strict=True)
            },
            "rising": {
                what: share_of(rises(seen, what), one.stories).to_json()
                for what in ("place", "actors")
            },
        }
    return found


def _judged(
    scenes: Sequence[Scene], sights: Sequence[Sight], stories: Sequence[int]
) -> dict[str, Any]:
    """Shares of `TOLD_ROWS`: do the pictures show the scenes?"""
    rows = [judge_picture(scene, sight) for scene, sight in zip(scenes, sights, strict=True)]
    return {name: share_of([row[name] for row in rows], stories).to_json() for name in TOLD_ROWS}
