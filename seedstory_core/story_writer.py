"""From a story to the files that keep it: what `story_store` puts in a folder, `story_file` in one
zip. The manifest is made from the values alone, so both write the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from .errors import SeedStoryError
from .files import json_bytes
from .images import encode_png
from .story import feature_digests, pixel_digest
from .story_reader import FORMAT, MAX_PANELS, VERSION, WORKFLOW, WORKFLOWS
from .types import Character, Json, Panel, Story

DIGITS = 16  # of the digest that stands for a workflow


class Sink(Protocol):
    """Where the files of a story go."""

    def write(self, relative: str, data: bytes) -> None: ...

    def set_aside(self, index: int, before: Mapping[str, Any]) -> dict[str, Any]: ...


def save_parts(
    story: Story,
    sink: Sink,
    known: Mapping[str, Any] | None = None,
    before: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Write what is new of ``story`` into ``sink``; the manifest, which is to be written last.

    Args:
        known: the manifest of the same story that is kept already, ``before`` its panels.

    Raises:
        SeedStoryError: too many panels, or provenance that is no JSON.
    """
    if len(story) > MAX_PANELS:
        raise SeedStoryError(f"A story has at most {MAX_PANELS} panels, this one {len(story)}.")
    known = known or {}
    workflows = _Workflows(_object(known.get(WORKFLOWS)))
    entries = [
        _save_panel(sink, index, panel, before[index] if index < len(before) else {}, workflows)
        for index, panel in enumerate(story.panels)
    ]
    further = before[len(entries) :]
    data = {
        "format": FORMAT,
        "version": VERSION,
        "run": story.run.encode(errors="replace").decode(),
        "engine": story.engine,
        "world": {"name": story.world.name, "digest": story.world.digest},
        "closing": known.get("closing") if further else story.closing,
        "characters": _save_characters(sink, story.characters, known.get("characters")),
        "panels": [*entries, *further],
    }
    used = workflows.used(data["panels"])
    return {**data, WORKFLOWS: used} if used else data


class _Workflows:
    """ComfyUI's workflows by their digest; panels mostly share one, which is digested once."""

    def __init__(self, known: Mapping[str, Json]) -> None:
        self._known = dict(known)
        self._digests: dict[int, str] = {}  # by identity, while the story holds them

    def digest(self, workflow: Mapping[str, Json]) -> str:
        """Its name, under which it is remembered."""
        known = self._digests.get(id(workflow))
        if known is None:
            body = json.dumps(workflow, sort_keys=True, ensure_ascii=True)
            known = hashlib.sha256(body.encode()).hexdigest()[:DIGITS]
            self._digests[id(workflow)] = known
            self._known[known] = dict(workflow)
        return known

    def used(self, panels: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        """Those that a panel still names, in the order of the panels."""
        marks = [_object(entry.get("provenance")).get(WORKFLOW) for entry in panels]
        named = dict.fromkeys(mark for mark in marks if isinstance(mark, str))
        return {mark: self._known[mark] for mark in named if mark in self._known}


def _save_panel(
    sink: Sink, index: int, panel: Panel, before: Mapping[str, Any], workflows: _Workflows
) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "caption": panel.caption,
        "text": panel.text,
        "origin": panel.origin,
        "token_ids": list(panel.token_ids),
        "features": before.get("features"),
        "image": before.get("image"),
        "seed": panel.seed,
        "provenance": _provenance(panel, workflows),
        "uid": panel.uid,
    }
    again = ("features_sha256", "image_sha256", "earlier")
    entry |= {key: before[key] for key in again if key in before}
    if panel.features and not entry["features"]:
        entry["features_sha256"] = feature_digests(panel)
        entry["features"] = f"features/{index:03d}.safetensors"
        sink.write(entry["features"], _features_bytes(panel.features))
    if panel.image is None:
        if entry["image"]:
            entry["provenance"] = before.get("provenance", {})
    elif (digest := pixel_digest(panel.image)) != entry.get("image_sha256"):
        if entry["image"]:
            earlier = entry.get("earlier")
            kept = earlier if isinstance(earlier, list) else []
            entry["earlier"] = [*kept, sink.set_aside(index, before)]
        entry |= {"image": f"panels/{index:03d}.png", "image_sha256": digest}
        sink.write(entry["image"], encode_png(panel.image))
    return entry


def manifest_bytes_of(data: Mapping[str, Any]) -> bytes:
    """The bytes of ``story.json``.

    Raises:
        SeedStoryError: it holds what JSON cannot: NaN or infinite numbers, objects of a program.
    """
    try:
        return json_bytes(data)
    except (ValueError, TypeError, RecursionError) as error:
        raise SeedStoryError(
            f"The story cannot be written as JSON ({error}); look at its provenance and workflow."
        ) from error


def _object(value: object) -> dict[str, Any]:
    """``value`` if it is an object of JSON; a manifest that was there may be another's."""
    return value if isinstance(value, dict) else {}


def _provenance(panel: Panel, workflows: _Workflows) -> dict[str, Json]:
    """The panel's own, with its workflow by digest."""
    workflow = panel.provenance.get(WORKFLOW)
    if not isinstance(workflow, dict):
        return dict(panel.provenance)
    return {**panel.provenance, WORKFLOW: workflows.digest(workflow)}


def _features_bytes(features: Mapping[str, Tensor]) -> bytes:
    own = {space: tensor.detach().cpu().clone().contiguous() for space, tensor in features.items()}
    return safetensors_bytes({space: own[space] for space in sorted(own)})


def _save_characters(
    sink: Sink, characters: Sequence[Character], before: object
) -> list[dict[str, Any]]:
    """Equal uids of panel 0 mean equal names, phrases and pictures; only features can be new."""
    entries = []
    for number, who in enumerate(characters):
        listed = before if isinstance(before, list) else []
        known = _object(listed[number]) if number < len(listed) else {}
        pictures = [f"characters/{number:02d}-{i}.png" for i in range(len(who.images))]
        spaces, features = sorted(who.features), f"characters/{number:02d}.safetensors"
        if known.get("images") != pictures:
            for name, image in zip(pictures, who.images, strict=True):
                sink.write(name, encode_png(image))
        if spaces and known.get("spaces") != spaces:
            sink.write(features, _features_bytes(who.features))
        entry = {"name": who.name, "phrase": who.phrase, "images": pictures, "spaces": spaces}
        entry["features"] = features if spaces else None
        entries.append(entry)
    return entries
