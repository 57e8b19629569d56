"""``train make-world``: tell and draw the stories that Picture World is trained on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "make-world",
        help="tell and draw stories of Picture World as a dataset",
        description="Writes lists, 64 px pictures and scene graphs; same seed, same files.",
    )
    parser.add_argument("--stories", type=int, required=True, metavar="N", help="how many stories")
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
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the dataset and say what was written."""
    from ..picture_world.dataset import write_world
    from ..picture_world.others import write_pictures
    from .progress import Bar

    bar = Bar("Drawing", 1)
    counts = write_world(args.out, args.stories, args.seed, bar)
    if args.others:
        write_pictures(args.out, args.others, args.seed, bar)
    bar.clear()
    for split, stories in counts.stories.items():
        print(f"{split:<6}{stories:>8} stories{counts.pictures[split]:>9} pictures")
    return 0
