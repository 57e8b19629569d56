"""``train``: the stages from pictures to a world, each stopped and resumed at any step."""

from __future__ import annotations

import argparse
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import SeedStoryError
from .progress import shorten

#: In the order they are trained in; `all` leaves out those that the recipe has not.
STAGES = {
    "vae": "the autoencoder",
    "vision": "the visual tokenizer",
    "vae-decoder": "the autoencoder's decoder alone",
    "detokenizer": "the de-tokenizer and its UNet",
    "llm": "the multimodal LLM",
    "adapt-detokenizer": "the de-tokenizer on what the LLM says",
}
#: What a finished run can be given beside its world; `all` leaves these out.
EXTRAS = {
    "controlnet": "a ControlNet that follows edges",
    "style-lora": "a LoRA that paints in another style",
}
ASSEMBLE, ALL = "assemble", "all"
#: Commands with a module of their own.
OTHERS = {"make-world": "train_make_world", "adapt": "train_adapt"}
EVERY = 30.0  # seconds between two lines where there is no terminal


def add_parser(subparsers: Any) -> None:
    """Add this command with its stages."""
    parser = subparsers.add_parser(
        "train",
        help="train a world of your own",
        description="Trains a world stage by stage. A stopped stage goes on with --resume.",
    )
    stages = parser.add_subparsers(dest="stage", metavar="STAGE", required=True)
    for name, title in {**STAGES, **EXTRAS}.items():
        _add_stage(stages, name, f"train {title}")
    _add_stage(stages, ALL, "train all stages of the recipe and assemble the world")
    _add_stage(stages, ASSEMBLE, "put the trained parts together into a world")
    for module in _others().values():
        module.add_parser(stages)


def _add_stage(stages: Any, name: str, title: str) -> None:
    parser = stages.add_parser(
        name, help=title, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="stories or captioned pictures")
    add("--recipe", type=Path, required=True, metavar="FILE", help="sizes and settings, JSON")
    add("--run", dest="folder", type=Path, required=True, metavar="DIR", help="folder of the run")
    add("--device", default="auto", help="cpu, cuda, mps, xpu; auto: a GPU where there is one")
    add("--cpu", action="store_true", help="the same as --device cpu")
    if name in (ASSEMBLE, ALL):
        add("--out", type=Path, metavar="DIR", help="folder of the world (RUN/world)")
    if name == ASSEMBLE:
        return
    add("--resume", action="store_true", help="go on from the newest checkpoint")
    add("--max-steps", type=int, metavar="N", help="stop early, with a checkpoint")
    add("--time-limit", type=float, metavar="S", help="stop after S seconds, with a checkpoint")
    if name != ALL:
        add("--finish", action="store_true", help="write the results from the newest checkpoint")


def run(args: argparse.Namespace) -> int:
    """Run one stage, or all."""
    others = _others()
    if args.stage in others:
        return others[args.stage].run(args)
    _check(args)
    if args.stage != ALL:
        _run_stage(args.stage, args)
        return 0
    from ..training.recipe import read_recipe

    recipe = read_recipe(args.recipe)
    for name in [name for name in STAGES if name in recipe.stages]:
        if not _run_stage(name, args):
            print(f"{name} has not ended; the same command with --resume goes on.")
            return 0
    _run_stage(ASSEMBLE, args)
    return 0


def _run_stage(name: str, args: argparse.Namespace) -> bool:
    """Train one stage; whether it has ended."""
    module = _stage_module(name)
    line = Line(name)
    job = _job(args, line)
    if name == ASSEMBLE:
        module.run(job)
        line.end(f"The world is in {job.out or job.run / 'world'}.")
        return True
    from ..training.loop import finish, train

    stage, settings, folder = module.build(job), job.settings(name), job.folder(name)
    cpu = job.device.type == "cpu"
    if getattr(args, "finish", False):
        paths = finish(stage, settings, folder, cpu=cpu)
    else:
        paths = train(
            stage,
            settings,
            folder,
            resume=args.resume,
            progress=line,
            max_steps=args.max_steps,
            time_limit=args.time_limit,
            cpu=cpu,
        )
    written = ", ".join(str(path) for path in paths)
    line.end(f"Wrote {written}." if paths else "Stopped with a checkpoint; --resume goes on.")
    return bool(paths)


def _job(args: argparse.Namespace, line: Line) -> Any:
    from ..training.recipe import read_recipe
    from ..training.stage import Job

    return Job(
        recipe=read_recipe(args.recipe),
        data=args.data,
        run=args.folder,
        progress=line,
        device=_device(args),
        out=getattr(args, "out", None),
    )


def _device(args: argparse.Namespace) -> Any:
    """Where it trains: as asked; by itself on CUDA or MPS, else on the CPU, and that is said."""
    import torch

    from .places import device_of

    if args.cpu and args.device not in ("auto", "cpu"):
        raise SeedStoryError(f"--cpu and --device {args.device} contradict each other. Give one.")
    device = torch.device("cpu") if args.cpu else device_of(args.device)
    xpu = getattr(torch, "xpu", None)
    if device.type == "cpu" and args.device == "auto" and not args.cpu and xpu is not None:
        if xpu.is_available():
            print("Training on the CPU. To try this machine's XPU: --device xpu", flush=True)
    return device


def _check(args: argparse.Namespace) -> None:
    for name in ("max_steps", "time_limit"):
        value = getattr(args, name, None)
        if value is not None and not value > 0:
            option = name.replace("_", "-")
            raise SeedStoryError(f"--{option} must be more than 0, got {value}.")
    if not args.data.is_dir():
        raise SeedStoryError(f"There is no folder {args.data}: --data needs the training data.")


def _stage_module(name: str) -> ModuleType:
    full = f"{__package__}".removesuffix(".cli") + f".training.{name.replace('-', '_')}"
    if find_spec(full) is None:
        raise SeedStoryError(f"Stage {name!r} is not part of this version.")
    return import_module(full)


def _others() -> dict[str, ModuleType]:
    names = {name: f"{__package__}.{file}" for name, file in OTHERS.items()}
    return {name: import_module(full) for name, full in names.items() if find_spec(full)}


class Line:
    """The `Progress` of training: one line on a terminal, a line now and then elsewhere."""

    def __init__(self, label: str) -> None:
        self._label, self._terminal, self._drawn = label, sys.stdout.isatty(), 0.0

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if now - self._drawn < (0.2 if self._terminal else EVERY) and done != total:
            return
        self._drawn = now
        text = f"{self._label} {done}/{total}  {note}"
        if self._terminal:
            print(f"\r{shorten(text, 100)}\x1b[K", end="", flush=True)
        else:
            print(text, flush=True)

    def end(self, text: str) -> None:
        """Take the line away and leave ``text``."""
        print(f"\r\x1b[K{text}" if self._terminal else text, flush=True)
