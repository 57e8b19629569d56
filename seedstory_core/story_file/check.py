"""What is wrong with a story: everything is read, and told apart by whether it still opens.

The rules that refuse a story are the reader's own (`story_reader`), so that what validates also
opens. ``story.schema.json`` says the same for other programs, and a test holds the two together;
what only the schema finds is noted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from ..story import feature_digests, next_uid, pixel_digest
from ..story_reader import (
    MANIFEST,
    MAX_MANIFEST,
    FolderSource,
    Source,
    panel_entries,
    parse_manifest,
    read_manifest,
    story_of,
)
from ..types import Story
from .carriers import open_carried
from .pack import named_files
from .unpack import ArchiveSource

SCHEMA = "story.schema.json"
MAX_NOTES = 20  # departures from the schema that are listed
TELLING = ("engine", "world")  # provenance of every panel that an engine made
TOLD = ("sampling", "context")  # and of every one it told


@dataclass(frozen=True)
class Report:
    """A story that opens, and what is odd about it.

    Attributes:
        story: as it was read.
        notes: a sentence each: changed by hand, files nobody names, provenance that is missing.
    """

    story: Story
    notes: tuple[str, ...]


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of ``story.json``."""
    return json.loads(Path(__file__).with_name(SCHEMA).read_text(encoding="utf-8"))


def check_story(path: Path) -> Report:
    """Read all of a story folder, story file, or carrier of one.

    Raises:
        SeedStoryError: it does not open; the message names the first thing that is wrong.
    """
    if os.path.isdir(path):
        here = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
        return _report(read_manifest(path), FolderSource(path), here)
    with open_carried(path) as archive:
        source = ArchiveSource(archive)
        manifest = parse_manifest(archive.manifest(MAX_MANIFEST), source.where)
        return _report(manifest, source, set(archive.names))


def _departures(manifest: Mapping[str, Any]) -> list[str]:
    """What the schema says against a manifest that the reader takes."""
    try:
        from jsonschema import Draft202012Validator
    except ImportError:
        return ["not held against the schema, which needs jsonschema (pip install jsonschema)"]
    found = Draft202012Validator(schema()).iter_errors(manifest)
    return [
        f"{error.json_path} departs from the schema: {error.message:.200}"
        for error in islice(found, MAX_NOTES)
    ]


def _report(manifest: Mapping[str, Any], source: Source, here: set[str]) -> Report:
    story = story_of(manifest, source)
    notes = _departures(manifest)
    for index, entry in enumerate(panel_entries(manifest, source.where)):
        panel = story.panels[index]
        before = replace(story, panels=story.panels[:index])
        if next_uid(before, panel) != entry.get("uid"):
            notes.append(f"panel {index} was changed by hand: it is another line of the story now")
        if entry.get("features_sha256", {}) != feature_digests(panel):
            notes.append(f"the features of panel {index} are others than were saved")
        image = None if panel.image is None else pixel_digest(panel.image)
        if entry.get("image_sha256") != image:
            notes.append(f"the picture of panel {index} is another than was saved")
        wanted = TELLING + (TOLD if panel.origin == "told" else ())
        lacking = [key for key in wanted if key not in panel.provenance]
        if lacking:
            notes.append(f"panel {index} does not say its {' and '.join(lacking)}")
    named = {*named_files(manifest, source.where), MANIFEST}
    beside = sorted(name for name in here - named if _ours(name))
    if beside:
        notes.append(f"{len(beside)} files belong to no panel, as {beside[0]}")
    return Report(story, tuple(notes))


def _ours(name: str) -> bool:
    return name.split("/")[0] in ("features", "panels", "characters")
