"""A folder of goldens: manifest, tensors, records, and the tolerance of each file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import SeedStoryError
from ..weights.reader import Checkpoint, open_checkpoint

SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
MAX_JSON = 64 << 20


class Goldens:
    """Read access to one folder.

    Raises:
        SeedStoryError: no folder, or no readable MANIFEST.json in it.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "MANIFEST.json").is_file():
            raise SeedStoryError(
                f"{folder} is no folder of goldens: it has no MANIFEST.json. Give one like "
                "tests/golden/seed_story."
            )
        self.folder = folder
        self.manifest = self.record("MANIFEST")
        self.files: Mapping[str, Any] = self.manifest.get("files") or {}
        self.config: Mapping[str, Any] = self.manifest.get("config") or {}

    def find(self, stem: str) -> list[Path]:
        """The files (or folder) called ``stem``, safetensors first; none when it is missing."""
        folder = self.folder / stem
        if folder.is_dir():
            return [folder]
        paths = [self.folder / f"{stem}{suffix}" for suffix in (*SUFFIXES, ".json", ".png")]
        return [path for path in paths if path.is_file()]

    def record(self, stem: str) -> dict[str, Any]:
        """The JSON object ``stem``."""
        path = self.folder / f"{stem}.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SeedStoryError(f"{path} cannot be read as JSON: {error}") from error
        if not isinstance(data, dict):
            raise SeedStoryError(f"{path} holds a {type(data).__name__}, not an object.")
        return data

    def checkpoint(self, stem: str) -> Checkpoint:
        """The weights ``stem``, in whichever format they are there."""
        return open_checkpoint(self.find(stem)[0])

    def tensors(self, stem: str) -> dict[str, Tensor]:
        """All tensors of ``stem``; halves become fp32, since everything is computed in that."""
        file = self.checkpoint(stem)
        tensors = {key: file.tensor(key) for key in file.keys()}
        return {
            key: value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
            for key, value in tensors.items()
        }

    def tolerance(self, stem: str, which: str = "atol") -> tuple[float, float]:
        """(absolute, relative) tolerance in the manifest for ``stem``; 0 where it is silent."""
        for path in self.find(stem):
            tol = self.files.get(path.name, {}).get("tol")
            if tol:
                return float(tol.get(which, tol.get("atol", 0))), float(tol.get("rtol", 0))
        return 0.0, 0.0
