"""What an adaptation writes down: whose its run folder is, and how the new world was made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ..errors import SeedStoryError
from ..files import atomic_write_json
from ..world import World
from .adapt_base import digest_of_files
from .adapt_data import Lessons, digest_of_data
from .adapt_settings import AdaptSettings
from .adapt_taught import Taught
from .data import Stories
from .metrics import read_metrics
from .stage import Stage

PLAN = "adaptation.json"
BEFORE = "before.json"


def claim(
    run: Path,
    world: World,
    series: Stories,
    replay_data: Path | None,
    settings: AdaptSettings,
    frugal: bool,
) -> None:
    """Take a run folder for this adaptation.

    Raises:
        SeedStoryError: it is another's, or holds other files.
    """
    plan = {
        "base": digest_of_files(world),
        "data": digest_of_data(series),
        "replay_data": None if replay_data is None else str(replay_data.resolve()),
        "settings": plain(settings),
        "frugal": frugal,
    }
    path = run / PLAN
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != plan:
            raise SeedStoryError(
                f"{run} belongs to another adaptation (other data, base or settings). "
                "Repeat the command it was begun with, or delete that folder to begin anew."
            )
        return
    if run.exists() and any(run.iterdir()):
        raise SeedStoryError(f"{run} holds other files. Give --run another folder.")
    atomic_write_json(path, plan)


def plain(settings: AdaptSettings | Taught) -> dict[str, Any]:
    """As JSON has it."""
    return json.loads(json.dumps(asdict(settings)))


def keep_figures(folder: Path, stage: Stage, device: torch.device) -> None:
    """Write a stage's figures before its first step, once."""
    path = folder / BEFORE
    if not path.is_file() and is_first_process():
        module = stage.module.to(device).eval()
        atomic_write_json(path, stage.check(module))
        module.train()


def figures_of(run: Path, stages: Sequence[str]) -> dict[str, Any]:
    """Losses of each stage on new and rehearsed pictures, before and after."""
    figures = {}
    for name in stages:
        folder = run / name
        if (folder / BEFORE).is_file():
            before = json.loads((folder / BEFORE).read_text(encoding="utf-8"))
            lines = [line for line in read_metrics(folder) if "new_loss" in line]
            last = lines[-1] if lines else {}
            after = {key: value for key, value in last.items() if key in before}
            figures[name] = {"before": before, "after": after}
    return figures


def provenance(
    world: World,
    series: Stories,
    lessons: Lessons,
    settings: AdaptSettings,
    taught: Taught,
    frugal: bool,
    figures: Mapping[str, Any],
) -> dict[str, Any]:
    """Of the new world, for its world.json."""
    return {
        "made_by": "seedstory train adapt",
        "base": {
            "title": world.title,
            "digest": world.digest,
            "files": digest_of_files(world),
            "provenance": dict(world.provenance),
        },
        "data": {
            "pictures": lessons.new,
            "stories": lessons.tales,
            "sha256": digest_of_data(series),
        },
        "rehearsed": lessons.rehearsed,
        "settings": plain(settings),
        "taught": plain(taught),
        "frugal": frugal,
        "torch": str(torch.__version__),
        "figures": dict(figures),
    }


def is_first_process() -> bool:
    from accelerate import PartialState

    return PartialState().is_main_process


def wait_for_everyone() -> None:
    from accelerate import PartialState

    PartialState().wait_for_everyone()
