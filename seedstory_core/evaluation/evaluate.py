"""Judges a world: told runs, given captions, ceilings and floors, as one JSON value."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..context import WORDS, Block, ContextPolicy, Dense, MultimodalSink, Window
from ..engine import open_engine
from ..errors import SeedStoryError
from ..hosts import local_host
from ..painter import open_painter
from ..quantised import Format
from ..sampling import Nucleus, Sampling, describe, with_temperature
from ..sampling import restore as restore_sampling
from ..types import PaintSettings, Progress, no_progress
from ..world import PAINTING, World
from . import references as refs
from .damage import untrained
from .judge import PanelVerdict, by_name, differences, judge_panels, read_captions, shares
from .painting import PanelPainter, Pixels
from .probes import ProbeReader
from .runs import SCRIPT, TOLD, Plan, ToldStory, run_plan
from .sight import ALL_RIGHT, PICTURE_ROWS
from .starts import HELD_OUT, OPENINGS, Start, starts_of

FORMAT, VERSION = "seedstory-evaluation", 1
GREEDY, SAMPLED = "greedy", "sampled"
SAMPLINGS = (GREEDY, SAMPLED)
#: Every context policy there is, by the names of the command line.
POLICIES: tuple[ContextPolicy, ...] = (Window(), Block(), MultimodalSink(), Dense())
MAX_NEW_TOKENS = 200  # a caption of this world has fewer than 60; a damaged world rambles on
#: Makes the progress of a stage from its name.
Stages = Callable[[str], Progress]
#: Is given the stories of each told run, as to draw sheets of them.
Audience = Callable[[str, Sequence[ToldStory]], None]


@dataclass(frozen=True)
class Request:
    """What is to be judged.

    Attributes:
        panels: told after each opening; ``lengths`` are judged as the first panels of these.
        samplings: of `SAMPLINGS`; ``starts``: one of `starts.STARTS`.
        script: judge given captions too; ``references``: and ceilings and floors.
    """

    stories: int = 20
    panels: int = 25
    lengths: tuple[int, ...] = ()
    policies: tuple[ContextPolicy, ...] = POLICIES[:1]
    samplings: tuple[str, ...] = SAMPLINGS
    starts: str = HELD_OUT
    script: bool = True
    references: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if not (1 <= self.stories <= 10_000 and 1 <= self.panels <= 10_000):
            raise SeedStoryError(
                f"Judge 1 to 10000 stories of 1 to 10000 panels, got {self.stories} of "
                f"{self.panels}."
            )
        wrong = [length for length in self.lengths if not 1 <= length <= self.panels]
        if wrong:
            raise SeedStoryError(f"Lengths are 1 to {self.panels} (the panels told), got {wrong}.")
        unknown = set(self.samplings) - set(SAMPLINGS)
        if unknown or not self.policies:
            raise SeedStoryError(f"Expected samplings of {SAMPLINGS} and a policy, got {unknown}.")


class Judge:
    """A world opened to be judged.

    Args:
        keep: folder for told stories, so that a stopped judgement goes on; None keeps nothing.
        device, dtype: where and in what the world computes; the probes compute on the CPU.
        form: how the LLM's layers are quantised.
    """

    def __init__(
        self,
        world: World,
        probes: ProbeReader,
        keep: Path | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        form: Format | None = None,
    ) -> None:
        self.world, self.probes, self.keep = world, probes, keep
        self.device, self.dtype = device or torch.device("cpu"), dtype
        self.engine = open_engine(world, local_host(self.device, dtype, form=form))
        painter = open_painter(world, None, self.device, dtype, self.engine.unet_patch())
        self.painter = PanelPainter(
            self.engine, painter, paint_settings(world), painter_identity(world)
        )

    def run(
        self, plan: Plan, starts: Sequence[Start], name: str, progress: Progress = no_progress
    ) -> list[ToldStory]:
        """Tell and paint the stories of one run."""
        folder = None if self.keep is None else self.keep / name
        return run_plan(self.engine, self.painter, starts, plan, folder, progress)

    def verdicts(
        self, captions: Sequence[Sequence[str]], pictures: Sequence[Pixels]
    ) -> list[PanelVerdict]:
        """Judge stories by their captions and pictures, the openings first in each."""
        from ..picture_world.splits import scene_is_held_out

        judged: list[PanelVerdict] = []
        for number, (said, painted) in enumerate(zip(captions, pictures, strict=True)):
            sights = self.probes.read(painted)
            judged += judge_panels(number, read_captions(said), sights, scene_is_held_out)
        return judged

    def judge_told(self, stories: Sequence[ToldStory]) -> list[PanelVerdict]:
        """Judge the stories of one run."""
        painted = [story.pictures for story in stories if story.pictures is not None]
        return self.verdicts([story.captions for story in stories], painted)


def paint_settings(world: World) -> PaintSettings:
    """The world's own steps and guidance, or the reference's."""
    wanted = world.defaults.get("paint", {})
    own = {key: wanted[key] for key in ("steps", "guidance") if key in wanted}
    return replace(PaintSettings(), **own)


def sampling_of(world: World, name: str) -> Sampling:
    """The world's sampling made greedy, or made to draw; endless captions are cut."""
    base = restore_sampling(world.defaults.get("sampling", {}))
    base = replace(base, max_new_tokens=min(base.max_new_tokens, MAX_NEW_TOKENS))
    if name == GREEDY:
        return with_temperature(base, 0, 1)
    own = base.picker if isinstance(base.picker, Nucleus) else Nucleus()
    return with_temperature(base, own.temperature, own.top_p)


def evaluate(
    judge: Judge,
    request: Request,
    stages: Stages = lambda name: no_progress,
    audience: Audience = lambda name, stories: None,
) -> dict[str, Any]:
    """Judge a world as asked; the result is plain JSON.

    Raises:
        SeedStoryError: the world cannot be told or painted with, or paints no squares.
    """
    begun = time.monotonic()
    world = judge.world
    starts = starts_of(world, request.starts, request.stories, request.panels, request.seed)
    runs = [
        _told_run(judge, request, starts, policy, sampling, stages, audience)
        for policy in request.policies
        for sampling in request.samplings
    ]
    result: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "world": {"name": world.name, "digest": world.digest},
        "starts": request.starts,
        "seed": request.seed,
        "probes": judge.probes.accuracy,
        "runs": runs,
    }
    if request.starts != OPENINGS and (request.script or request.references):
        result |= given_captions(judge, request, starts, stages)
    return {**result, "seconds": round(time.monotonic() - begun, 1)}


def _told_run(
    judge: Judge,
    request: Request,
    starts: Sequence[Start],
    policy: ContextPolicy,
    sampling: str,
    stages: Stages,
    audience: Audience,
) -> dict[str, Any]:
    begun = time.monotonic()
    plan = Plan(TOLD, policy, sampling_of(judge.world, sampling), request.panels, request.seed)
    name = f"{TOLD}-{policy_name(policy)}-{sampling}"
    stories = judge.run(plan, starts, name, stages(f"{policy_name(policy)}, {sampling}"))
    audience(name, stories)
    panels = judge.judge_told(stories)
    return {
        "name": name,
        **plan.to_json(),
        "policy": policy_name(policy),
        "drawing": sampling,
        "stories": len(stories),
        **tables_of(panels, request),
        "ended": {str(story.number): story.end for story in stories if story.end},
        "seconds": round(time.monotonic() - begun, 1),
    }


def tables_of(panels: Sequence[PanelVerdict], request: Request) -> dict[str, Any]:
    """Shares by length, those of held-out combinations alone, and looks by character."""
    held_out = [panel for panel in panels if panel.held_out]
    return {
        "judged": len(panels),
        "lengths": {
            str(length): _json(panels, length) for length in request.lengths or (request.panels,)
        },
        "held_out": _json(held_out, None),
        "by_name": {name: share.to_json() for name, share in by_name(panels).items()},
    }


def _json(panels: Sequence[PanelVerdict], length: int | None) -> dict[str, Any]:
    return {row: share.to_json() for row, share in shares(panels, length).items()}


def given_captions(
    judge: Judge, request: Request, starts: Sequence[Start], stages: Stages
) -> dict[str, Any]:
    """True held-out stories' captions: pictures by the model, by parts of it, and by nothing."""
    captions = [[start.text, *start.script] for start in starts]
    truth = refs.true_pictures(starts)
    pictures: dict[str, list[Pixels]] = {}
    if request.script:
        policy = request.policies[0]
        plan = Plan(SCRIPT, policy, sampling_of(judge.world, GREEDY), request.panels, request.seed)
        name = f"{SCRIPT}-{policy_name(policy)}"
        stories = judge.run(plan, starts, name, stages("given captions"))
        pictures[SCRIPT] = [story.pictures for story in stories if story.pictures is not None]
    if request.references:
        pictures |= reference_pictures(judge, truth, request.seed, stages)
    judged = {name: judge.verdicts(captions, painted) for name, painted in pictures.items()}
    found: dict[str, Any] = {
        "given": {name: tables_of(panels, request) for name, panels in judged.items()}
    }
    if request.references:
        through = pictures[refs.VAE]
        pairs = zip(through, truth, strict=True)
        exact = [refs.exact_share(ours, true) for ours, true in pairs]
        found["vae_exact_pixels"] = round(sum(exact) / len(exact), 5)
    if SCRIPT in judged and refs.TRUE_FEATURES in judged:
        rows = (*PICTURE_ROWS, ALL_RIGHT)
        apart = differences(judged[SCRIPT], judged[refs.TRUE_FEATURES], rows)
        found["script_minus_true_features"] = {row: d.to_json() for row, d in apart.items()}
    return found


def reference_pictures(
    judge: Judge, truth: Sequence[Pixels], seed: int, stages: Stages
) -> dict[str, list[Pixels]]:
    """The pictures of every ceiling and floor, by name (`references`)."""
    lengths = [len(story) for story in truth]
    features = refs.read_features(judge.engine, truth)
    vae = [refs.through_vae(judge.painter.painter, story) for story in truth]
    found = {refs.RENDER: list(truth), refs.VAE: vae}
    for name, rows in (
        (refs.TRUE_FEATURES, features),
        (refs.SHUFFLED, refs.shuffled(features, seed)),
    ):
        found[name] = refs.paint_rows(
            judge.painter, rows, lengths, seed, stages(name.replace("_", " "))
        )
    with tempfile.TemporaryDirectory() as folder:
        world = untrained(judge.world, Path(folder, judge.world.name))
        blank = Judge(world, judge.probes, None, judge.device, judge.dtype)
        rows = replace(features, world=blank.world.ref)
        found[refs.UNTRAINED] = refs.paint_rows(
            blank.painter, rows, lengths, seed, stages("untrained")
        )
    return found


def policy_name(policy: ContextPolicy) -> str:
    """``window-8``, ``sink-8-16-reindexed``: a policy as names of folders and tables.

    What the command line cannot say is there where it is not the default: ``sink-8-16-...-first9``.
    """
    word, said = next((w, said) for w, (kind, said) in WORDS.items() if type(policy) is kind)
    own, usual = describe(policy), describe(type(policy)())
    others = [f"{key}{own[key]}" for key in own if key not in said and own[key] != usual[key]]
    return "-".join([word, *(str(own[key]) for key in said), *others])


def painter_identity(world: World) -> str:
    """Tells painters apart: the hashes of the files that paint, and how they are used."""
    files = {role: file.sha256 for role, file in world.files.items() if role in PAINTING}
    used = [dict(world.painter or {}), world.defaults.get("paint"), world.panel_size]
    body = json.dumps([files, used], sort_keys=True, default=dict)
    return hashlib.sha256(body.encode()).hexdigest()
