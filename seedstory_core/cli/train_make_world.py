"""``train make-world``: tell and draw the stories that Picture World is trained on."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import SeedStoryError

GUEST_PANELS = 60
Progress = Callable[[int, int, str], None]


def add_parser(subparsers: Any) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "make-world",
        help="tell and draw stories of Picture World as a dataset",
        description="Writes lists, 64 px pictures and scene graphs; same seed, same files.",
    )
    parser.add_argument("--stories", type=int, metavar="N", help="how many stories")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="an empty folder")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="other seed, other tales")
    parser.add_argument(
        "--others",
        type=int,
        default=0,
        metavar="N",
        help="also the split 'pictures': the training stories and N pictures of figures of mixed "
        "looks, for the stages before the language model",
    )
    parser.add_argument(
        "--guest",
        action="store_true",
        help="instead: a plain folder of captioned pictures with a seventh character, to adapt to",
    )
    parser.add_argument("--panels", type=int, metavar="N", help="pictures with --guest (60)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the dataset and say what was written."""
    _check(args)
    from ..picture_world.dataset import write_world
    from ..picture_world.others import write_pictures
    from .progress import Bar

    if args.guest:
        return _guest(args, Bar("Drawing", 1))
    bar = Bar("Drawing", 1)
    counts = write_world(args.out, args.stories, args.seed, bar)
    if args.others:
        write_pictures(args.out, args.others, args.seed, bar)
    bar.clear()
    for split, stories in counts.stories.items():
        print(f"{split:<6}{stories:>8} stories{counts.pictures[split]:>9} pictures")
    return 0


def _check(args: argparse.Namespace) -> None:
    wrong = None
    if args.guest and (args.stories is not None or args.others):
        wrong = "--guest takes --panels, not --stories or --others."
    elif not args.guest and args.stories is None:
        wrong = "Say how many stories: --stories N, or --guest for pictures of a new character."
    elif not args.guest and args.panels is not None:
        wrong = "--panels goes with --guest; stories have 10 to 30 panels."
    if wrong:
        raise SeedStoryError(wrong)


def _guest(args: argparse.Namespace, bar: Progress) -> int:
    from ..picture_world.guest import write_guest
    from ..picture_world.scene import GUEST

    panels = GUEST_PANELS if args.panels is None else args.panels
    seen = write_guest(args.out, panels, args.seed, bar)
    print(f"\r{panels} pictures with captions in {args.out}, {seen} of them with {GUEST}.")
    return 0
