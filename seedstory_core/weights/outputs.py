"""One file of a world: written whole by streaming, and able to say itself what it was made from.

What decides a file's content (fingerprints of inputs, options) stands in its own header as the
``recipe``; what readers need to know (sizes) as ``facts``. So a second run knows a finished file by
itself, and no record can disagree with the files.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import SeedStoryError
from ..files import atomic_write_json, require_space, sha256_of
from ..types import Progress, no_progress
from .stream import StreamWriter, TensorSpec

log = logging.getLogger(__name__)

METADATA = "seedstory"  # the header field that holds recipe and facts
HASHES = ".convert.json"  # sha256 of finished files, valid while size and time stay the same


@dataclass(frozen=True)
class Output:
    """A safetensors file to be made.

    Attributes:
        specs: all its tensors.
        make: computes one of them by name.
        recipe: plain JSON, everything that decides the content.
        facts: plain JSON, what readers of the file need to know.
    """

    target: Path
    specs: Mapping[str, TensorSpec]
    make: Callable[[str], Tensor]
    recipe: Mapping[str, Any]
    facts: Mapping[str, Any]

    def write(self, progress: Progress = no_progress) -> None:
        """Write it, tensor by tensor; progress counts bytes.

        Raises:
            SeedStoryError: no room, or a tensor that does not fit its dtype.
        """
        told = {"recipe": dict(self.recipe), "facts": dict(self.facts)}
        metadata = {"format": "pt", METADATA: json.dumps(told, sort_keys=True)}
        writer = StreamWriter(self.target, self.specs, metadata)
        require_space(self.target.parent, writer.bytes, f"Writing {self.target.name}")
        total = sum(spec.bytes for spec in self.specs.values())
        done = 0
        with torch.inference_mode(), writer:
            for name in writer.order:
                spec = self.specs[name]
                writer.add(
                    name, fitting(self.make(name), spec.dtype, f"{self.target.name}: {name}")
                )
                done += spec.bytes
                progress(done, total, self.target.name)
        remember_hash(self.target, writer.sha256)


def fitting(tensor: Tensor, dtype: torch.dtype, what: str) -> Tensor:
    """``tensor`` in ``dtype``; refuses what overflows or is no number."""
    cast = tensor.to(dtype)
    if cast.is_floating_point() and not bool(torch.isfinite(cast).all()):
        finite = bool(torch.isfinite(tensor).all())
        problem = f"values up to {tensor.abs().max():.4g}, too large for {dtype}" if finite else (
            "values that are no numbers (NaN or infinite)"
        )  # fmt: skip
        raise SeedStoryError(
            f"{what} has {problem}. "
            + ("Convert with --dtype float32." if finite else "The official file is damaged.")
        )
    return cast


def told_by(target: Path) -> dict[str, Any] | None:
    """``{"recipe": ..., "facts": ...}`` of a finished file; None for absent, damaged or foreign."""
    if not target.is_file():
        return None
    try:
        with safe_open(target, framework="pt") as file:
            told = json.loads((file.metadata() or {})[METADATA])
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        log.info("%s does not count as finished: %r", target, error)
        return None
    return told if isinstance(told, dict) and {"recipe", "facts"} <= told.keys() else None


def is_finished(target: Path, recipe: Mapping[str, Any]) -> bool:
    """Whether ``target`` is whole and was made by just this ``recipe``."""
    told = told_by(target)
    return told is not None and told["recipe"] == json.loads(json.dumps(dict(recipe)))


def hash_of(path: Path) -> str:
    """sha256 of a world's file; remembered from writing while size and time are as they were."""
    known = _hashes(path.parent).get(path.name, {})
    if isinstance(known, dict) and known.get("stamp") == _stamp(path):
        return str(known["sha256"])
    digest = sha256_of(path)
    remember_hash(path, digest)
    return digest


def remember_hash(path: Path, sha256: str) -> None:
    """Keep the hash of a file just written or read."""
    entry = {"sha256": sha256, "stamp": _stamp(path)}
    atomic_write_json(path.parent / HASHES, {**_hashes(path.parent), path.name: entry})


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _hashes(folder: Path) -> dict[str, Any]:
    try:
        hashes = json.loads((folder / HASHES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # only costs reading the files again
    return hashes if isinstance(hashes, dict) else {}
