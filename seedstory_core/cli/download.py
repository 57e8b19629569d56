"""``download``: named public files, only when asked."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import SeedStoryError
from .byte_progress import ByteProgress

BASE_VARIABLE = "SEEDSTORY_DOWNLOAD_BASE"


def add_parser(subparsers: Any) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "download",
        help="fetch named public files, resumable and checked",
        description="Fetches files of the table of outside files (--list). Nothing is ever fetched "
        "without being named. A broken download goes on where it was.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="groups or single files")
    parser.add_argument("--list", action="store_true", help="show what there is, and its terms")
    parser.add_argument("--models", type=Path, help="ComfyUI's models folder")
    parser.add_argument(
        "--base-url", default=None, help=f"a mirror with the same layout (or {BASE_VARIABLE})"
    )
    parser.add_argument("--filename", help="place in the repository, for a single file")
    parser.add_argument("--revision", help="branch or commit, for a single file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fetch, one after the other; 0 when all are there."""
    from ..weights import catalog
    from ..weights.download import Downloader
    from ..weights.places import models_folder

    if args.list or not args.names:
        print(_listing())
        return 0
    entries = [entry for name in args.names for entry in catalog.find(name)]
    if args.filename or args.revision:
        if len(entries) != 1:
            raise SeedStoryError(
                f"--filename and --revision are for one file, but {len(entries)} are named."
            )
        entries = [_moved(entries[0], args.filename, args.revision)]
    print("Terms: " + catalog.licence_names(entries))
    models = models_folder(args.models)
    base = args.base_url or os.environ.get(BASE_VARIABLE) or catalog.BASE_URL
    downloader = Downloader(models, base, progress=ByteProgress())
    for entry in entries:
        print(f"{entry.key} -> {downloader.fetch(entry)}")
    return 0


def _moved(entry: Any, filename: str | None, revision: str | None) -> Any:
    """Another place keeps the name on disk, and forgets what was known of the old file."""
    from ..weights.catalog import UNKNOWN

    return replace(
        entry,
        name=entry.path.rsplit("/", 1)[-1],
        filename=filename or entry.filename,
        revision=revision or entry.revision,
        bytes=None,
        sha256=UNKNOWN,
    )


def _listing() -> str:
    from ..files import human
    from ..weights import catalog

    lines = []
    for group, purpose in catalog.GROUPS.items():
        entries = [entry for entry in catalog.CATALOG if entry.group == group]
        lines.append(f"{group}: {purpose}\n    terms: {catalog.licence_names(entries)}")
        for entry in entries:
            size = "size unknown" if entry.bytes is None else human(entry.bytes)
            sure = "" if entry.sure else ", place inferred"
            lines.append(f"    {entry.key}: {entry.repo}/{entry.filename} ({size}{sure})")
    lines += [f"{item.name}: {item.terms}\n    {item.link}" for item in catalog.LICENCES.values()]
    return "\n".join(lines)
