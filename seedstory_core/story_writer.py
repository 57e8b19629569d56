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
    workflows = dict(known.get(WORKFLOWS, {}))
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
        "characters": _save_characters(sink, story.characters, known.get("characters", [])),
        "panels": [*entries, *further],
    }
    return {**data, WORKFLOWS: workflows} if workflows else data


def _save_panel(
    sink: Sink, index: int, panel: Panel, before: Mapping[str, Any], workflows: dict[str, Json]
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
            entry["earlier"] = [*entry.get("earlier", []), sink.set_aside(index, before)]
        entry |= {"image": f"panels/{index:03d}.png", "image_sha256": digest}
        sink.write(entry["image"], encode_png(panel.image))
    return entry


def _provenance(panel: Panel, workflows: dict[str, Json]) -> dict[str, Json]:
    """The panel's own, with its workflow by digest: panels mostly share one."""
    provenance = dict(panel.provenance)
    workflow = provenance.get(WORKFLOW)
    if isinstance(workflow, dict):
        body = json.dumps(workflow, sort_keys=True, ensure_ascii=True)
        digest = hashlib.sha256(body.encode()).hexdigest()[:DIGITS]
        workflows[digest] = workflow
        provenance[WORKFLOW] = digest
    return provenance


def _features_bytes(features: Mapping[str, Tensor]) -> bytes:
    own = {space: tensor.detach().cpu().clone().contiguous() for space, tensor in features.items()}
    return safetensors_bytes({space: own[space] for space in sorted(own)})


def _save_characters(
    sink: Sink, characters: Sequence[Character], before: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Equal uids of panel 0 mean equal names, phrases and pictures; only features can be new."""
    entries = []
    for number, who in enumerate(characters):
        known = before[number] if number < len(before) else {}
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
