"""``story``: look at stories that are kept on disk, check them, pack them, print them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import SeedStoryError

STORY = "folder or .seedstory file of the story, or a PNG, PDF, EPUB, CBZ or HTML that carries one"
KINDS = ("seedstory", "folder")  # of export; all others are endings of files


def add_parser(subparsers: Any) -> None:
    """Add this command."""
    parser = subparsers.add_parser("story", help="show, check, list, pack and print kept stories")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in (
        ("show", "print the captions and what is painted"),
        ("validate", "read everything and say whether it is whole"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("story", type=Path, metavar="STORY", help=STORY)
    listing = actions.add_parser("list", help="list the stories in a folder, newest first")
    listing.add_argument("dir", type=Path, nargs="?", default=Path("."), metavar="DIR")
    export = actions.add_parser(
        "export",
        help="write the story as one file, a folder, or a book",
        description="Writes a story as a .seedstory file, as a folder, or as whatever the ending "
        "of OUT names: a book (pdf, epub, cbz, html), subtitles, a video, or a folder of pages.",
    )
    export.add_argument("story", type=Path, metavar="STORY", help=STORY)
    export.add_argument("out", type=Path, nargs="?", metavar="OUT", help="what to write")
    export.add_argument("--to", metavar="KIND", help="seedstory, folder, or an ending such as pdf")
    export.add_argument("--force", action="store_true", help="replace a file that is there")
    from .story_export import add_options

    add_options(export)


def run(args: argparse.Namespace) -> int:
    """Do one action; damage raises a `SeedStoryError` that names the file."""
    actions = {"show": _show, "validate": _validate, "list": _list, "export": _export}
    return actions[args.action](args)


def _show(args: argparse.Namespace) -> int:
    from ..story_file import open_any

    story = open_any(args.story)
    for index, panel in enumerate(story.panels):
        mark = " " if panel.image is not None else "-"
        print(f"{index:>4} {mark} {_line(panel.caption)}")
    if story.closing:
        print(f"       {_line(story.closing)}")
    print(f"{args.story}: {_summary(story)}")
    return 0


def _validate(args: argparse.Namespace) -> int:
    from ..story_file import check_story

    report = check_story(args.story)
    print(f"{args.story}: {_summary(report.story)}")
    for note in report.notes:
        print(f"note: {_line(note)}")
    print("whole: every feature and picture was read")
    return 0


def _line(text: str) -> str:
    """``text`` on one line, without what could steer the terminal: files come from strangers."""
    return "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))


def _summary(story: Any) -> str:
    from ..story import unpainted

    painted = len(story) - len(unpainted(story))
    state = "ended" if story.ended else "open"
    return (
        f"{len(story)} panels, {painted} with a picture, {state}; "
        f"engine {_line(story.engine)}, world {_line(story.world.name)} "
        f"({_line(story.world.digest[:12])})"
    )


def _list(args: argparse.Namespace) -> int:
    from ..story_file.listing import kept_stories

    if not args.dir.is_dir():
        raise SeedStoryError(f"{args.dir} is not a folder. Name the folder that stories are in.")
    found = kept_stories(args.dir)
    for line in found:
        print(f"{_line(line.path.name):<32} {_line(line.summary)}")
    if not found:
        print(f"There is no story in {args.dir}.")
    return 0


def _export(args: argparse.Namespace) -> int:
    named = args.to or (args.out and (args.out.suffix or "pages"))
    if named is None:
        raise SeedStoryError("Say what to write: OUT, as book.pdf, or --to seedstory.")
    kind = named.lower().lstrip(".")
    out = args.out or _beside(args.story, kind)
    if out.is_file() and not args.force:
        raise SeedStoryError(f"{out} is there already. Choose another name, or add --force.")
    if kind in KINDS:
        written = _packed(args.story, out) if kind == "seedstory" else _unpacked(args.story, out)
    else:
        from ..story_file import open_any
        from .progress import Bar
        from .story_export import export

        if args.to is not None and args.out is not None and kind not in ("pages", _ending(out)):
            out = out.with_name(f"{out.name}.{kind}")
        bar = Bar("Exporting", 0)
        written = export(open_any(args.story), out, args, bar)
        bar.clear()
    print(written)
    return 0


def _ending(path: Path) -> str:
    return path.suffix.lower().lstrip(".")


def _beside(source: Path, kind: str) -> Path:
    name = source.resolve().name if source.is_dir() else source.stem
    parent = source.resolve().parent
    return parent / (f"{name}-story" if kind in ("folder", "pages") else f"{name}.{kind}")


def _packed(source: Path, out: Path) -> Path:
    from ..files import atomic_write_bytes
    from ..story_file import open_any, pack_folder, read_carried

    open_any(source)  # what is damaged is not passed on
    if source.is_dir():
        return pack_folder(source, out)
    data = read_carried(source)
    assert data is not None, "it was opened"
    atomic_write_bytes(out, data)
    return out


def _unpacked(source: Path, out: Path) -> Path:
    from ..files import atomic_folder
    from ..story_file import SUFFIX, open_any, unpack_story_file
    from ..story_store import save_story

    if source.suffix.lower() == SUFFIX:
        unpack_story_file(source, out)
    else:
        with atomic_folder(out) as making:
            save_story(making, open_any(source))
    return out
