"""Official files as conversion inputs: opened safely, and recognised again by a fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SeedStoryError
from .keymap import KeyMap, Recipe
from .reader import INDEX_SUFFIX, Checkpoint, open_checkpoint, shards_of

SAMPLE = 1 << 16  # bytes of one sample
SAMPLES = 64  # evenly spread over a file, its ends included


@dataclass(frozen=True)
class Source:
    """One conversion input: an opened checkpoint and the files it consists of."""

    path: Path
    checkpoint: Checkpoint
    files: tuple[Path, ...]

    @classmethod
    def open(cls, path: Path) -> Source:
        """Open a file, an index of shards, or a folder with one of them; see `open_checkpoint`."""
        checkpoint = open_checkpoint(path)
        return cls(path, checkpoint, _files(checkpoint.path))

    def recipes(self, keymap: KeyMap) -> dict[str, Recipe]:
        """`KeyMap.recipes` of this file; errors name the file."""
        try:
            return keymap.recipes(self.checkpoint.keys())
        except SeedStoryError as error:
            raise SeedStoryError(f"{self.path} is not a whole {error}") from error

    def describe(self) -> dict[str, Any]:
        """Names, size and fingerprint, as plain JSON for a world's provenance."""
        return {
            "files": [path.name for path in self.files],
            "bytes": sum(path.stat().st_size for path in self.files),
            "fingerprint": fingerprint(self.files),
        }


def _files(path: Path) -> tuple[Path, ...]:
    if not path.name.endswith(INDEX_SUFFIX):
        return (path,)
    return (path, *(shard for shard in shards_of(path) if shard.is_file()))


def fingerprint(files: Sequence[Path]) -> str:
    """sha256 over sizes and samples spread over the files: tells files apart without reading all.

    Names and times play no part, so a moved or copied file is the same. It guards against mixing
    up inputs, not against forgery.
    """
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        last = max(0, size - SAMPLE)
        with open(path, "rb") as file:
            for start in sorted({last * i // (SAMPLES - 1) for i in range(SAMPLES)}):
                file.seek(start)
                digest.update(file.read(SAMPLE))
    return digest.hexdigest()
