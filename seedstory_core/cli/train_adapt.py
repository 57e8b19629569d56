"""``train adapt``: teach a world your own series; it says first what that will take."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..errors import SeedStoryError
from ..held import discard
from ..training.adapt_settings import AdaptSettings

DEFAULTS = AdaptSettings()
OFFICIAL = "official"
#: option -> (type, help); names are those of `AdaptSettings`.
NUMBERS: dict[str, tuple[type, str]] = {
    "steps": (int, "of the LLM"),
    "paint_steps": (int, "of the de-tokenizer; 0 leaves it as it is"),
    "draw_steps": (int, "of the decoder of a drawn world's VAE; 0 leaves it as it is"),
    "rank": (int, "of the LLM's adapters"),
    "batch": (int, "windows of panels in a step"),
    "paint_batch": (int, "pictures in a step"),
    "lr": (float, "learning rate of the LLM"),
    "paint_lr": (float, "learning rate of the de-tokenizer"),
    "window": (int, "panels in a window at most"),
    "told": (float, "share of pictures painted from what the LLM says, not from true features"),
    "replay": (int, "panels of the base world that are rehearsed, so that it keeps what it knows"),
    "share": (float, "their share of every batch"),
    "seed": (int, "another seed, another result"),
    "save_every": (int, "steps between two checkpoints"),
}


def add_parser(subparsers: Any) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "adapt",
        help="teach a world your own series",
        description="A copy of a world learns your pictures and captions and keeps what it knew. "
        "Prints first what every step takes; a stopped run goes on with the same command.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--base",
        dest="world",
        required=True,
        metavar="WORLD",
        help=f"name or path of a world; {OFFICIAL} with --dry-run for the released one's sizes",
    )
    add("--data", type=Path, required=True, metavar="DIR", help="captioned pictures, or stories")
    add("--out", type=Path, required=True, metavar="WORLD2", help="folder of the new world")
    add("--dry-run", action="store_true", help="print what it takes and stop; loads nothing")
    add("--yes", action="store_true", help="go on even where it seems not to fit")
    add("--replay-data", type=Path, metavar="DIR", help="stories to rehearse (the world tells)")
    add("--sdxl-base", type=Path, metavar="P", help="for worlds that paint with SDXL's base")
    add("--run", dest="folder", type=Path, metavar="DIR", help="keep checkpoints and figures here")
    add("--device", default="auto", help="cpu, cuda...")
    add("--max-steps", type=int, metavar="N", help="stop each stage early, with a checkpoint")
    learning = parser.add_argument_group("learning")
    add = learning.add_argument
    for name, (kind, help) in NUMBERS.items():
        option = f"--{name.replace('_', '-')}"
        add(option, type=kind, default=getattr(DEFAULTS, name), metavar="N", help=help)
    add(
        "--also",
        nargs="*",
        help="resamplers, embeddings, norms: learn them too (small worlds: embeddings)",
    )
    add(
        "--new-words",
        nargs="*",
        metavar="WORD",
        help="words that become tokens of their own (small worlds: those the tokenizer spells)",
    )
    add("--keys-only", action="store_true", help="of the painter, only the UNet's keys and values")
    add(
        "--whole-unet",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="train all of the UNet (small worlds; large ones its keys and values)",
    )
    add("--frugal", action="store_true", default=None, help="save memory as for a large world")


def run(args: argparse.Namespace) -> int:
    """Print the plan, then adapt."""
    settings = settings_of(args)
    from ..training.lora import need_peft

    need_peft()
    from ..training.adapt_data import long_caption, longest_story, open_series
    from ..training.adapted_world import refuse_existing
    from .places import device_of

    device = device_of(args.device)
    world, words = _base(args)
    refuse_existing(args.out)
    series = open_series(args.data, words)
    _say(f"{len(series)} pictures in {len(series.tales)} stories; base {world.title}.")
    from ..machine import Machine
    from ..training.estimate import estimate

    plan = estimate(
        world,
        settings,
        pictures=len(series),
        panels=longest_story(series),
        caption=long_caption(series, words),
        device=device,
        machine=Machine.here(args.out),
        rehearsed_known=args.replay_data is not None,
    )
    _say(plan.table())
    problems = plan.problems(settings)
    for problem in problems:
        print(f"Warning: {problem}", file=sys.stderr)
    if args.dry_run:
        return 1 if problems else 0
    if problems and not args.yes:
        raise SeedStoryError("This does not fit here; nothing was begun. Add --yes to try anyway.")
    return _adapt(args, settings, world, device, plan.frugal)


def _base(args: argparse.Namespace) -> tuple[Any, Any]:
    """The world to adapt and its vocabulary, None for the released one's sizes."""
    from ..training.adapt_base import open_words
    from .places import open_world

    if args.world == OFFICIAL:
        if not args.dry_run:
            raise SeedStoryError(
                f"--base {OFFICIAL} stands for sizes only; use it with --dry-run. To adapt the "
                "released world, convert it and give its folder."
            )
        from ..training.estimate import official_world

        return official_world(), None
    world = open_world(args.world)
    return world, open_words(world)[1]


def _adapt(
    args: argparse.Namespace, settings: AdaptSettings, world: Any, device: Any, frugal: bool
) -> int:
    from ..training.adapt import Adaptation
    from ..training.stage import quiet
    from .train import Line

    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        device = type(device)("cuda", int(os.environ["LOCAL_RANK"]))
    own = args.folder is None
    folder = args.out.with_name(f"{args.out.name}-training") if own else args.folder
    adaptation = Adaptation(
        world=world,
        data=args.data,
        out=args.out,
        run=folder,
        settings=settings,
        report=Line if _is_first() else lambda step: quiet,
        device=device,
        frugal=frugal,
        replay_data=args.replay_data,
        base=args.sdxl_base,
        cpu=device.type == "cpu",
    )
    if not adaptation.adapt(args.max_steps):
        _say(f"\nStopped with a checkpoint in {folder}; the same command goes on.")
        return 0
    if own and _is_first():
        discard(folder)
    _say(f"\nThe new world is in {args.out}. Try it: seedstory tell --world {args.out} --out DIR")
    return 0


def settings_of(args: argparse.Namespace) -> AdaptSettings:
    """The settings that the command line asks for."""
    if args.max_steps is not None and args.max_steps < 1:
        raise SeedStoryError(f"--max-steps must be more than 0, got {args.max_steps}.")
    chosen = {name: getattr(args, name) for name in NUMBERS}
    also = None if args.also is None else tuple(dict.fromkeys(args.also))
    known = {item.name for item in fields(AdaptSettings)}
    assert set(chosen) <= known
    return AdaptSettings(
        **chosen,
        also=also,
        new_words=None if args.new_words is None else tuple(dict.fromkeys(args.new_words)),
        whole_detokenizer=not args.keys_only,
        whole_unet=args.whole_unet,
        frugal=args.frugal,
    )


def _is_first() -> bool:
    """Whether this is the first process that accelerate has launched here, or the only one."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _say(text: str) -> None:
    if _is_first():
        print(text)
