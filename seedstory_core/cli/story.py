"""``story``: look at stories that are kept on disk."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add this command."""
    parser = subparsers.add_parser("story", help="show and check stories kept on disk")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in (
        ("show", "print the captions and what is painted"),
        ("validate", "read everything and say whether it is whole"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("dir", type=Path, metavar="DIR", help="folder of the story")


def run(args: argparse.Namespace) -> int:
    """Print the story; damage raises a `SeedStoryError` that names the file."""
    from ..story import unpainted
    from ..story_store import load_story

    story = load_story(args.dir)
    blank = unpainted(story)
    if args.action == "show":
        for index, panel in enumerate(story.panels):
            mark = " " if panel.image is not None else "-"
            print(f"{index:>4} {mark} {' '.join(panel.caption.split())}")
        if story.closing:
            print(f"       {story.closing}")
    painted = len(story) - len(blank)
    state = "ended" if story.ended else "open"
    print(
        f"{args.dir}: {len(story)} panels, {painted} with a picture, {state}; "
        f"engine {story.engine}, world {story.world.name} ({story.world.digest[:12]})"
    )
    if args.action == "validate":
        print("whole: every feature and picture was read")
    return 0
