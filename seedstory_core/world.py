"""World folders: the weights of one series. Find, read, validate.

```
<world>/world.json            format, version, engine, sizes, files with sha256, licence, provenance
<world>/llm.safetensors       MLLM with resamplers, LoRA merged        (names: engines/seed_story)
<world>/vision.safetensors    visual tokenizer
<world>/detokenizer.safetensors   resampler.*, negative.*; unet.* = changed tensors of the base UNet
<world>/tokenizer/            sentencepiece model and added tokens
<world>/unet.safetensors, vae.safetensors   only where the world brings its own painter
```
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import SeedStoryError
from .types import WorldRef, freeze

FORMAT = "seedstory-world"
VERSION = 1
PAINTING = frozenset({"detokenizer", "unet", "vae"})  # roles of files that tell nothing
MAX_NAME = 255  # bytes of a file's name, which all file systems of today hold
MAX_PATH = 1000  # letters of a path within a folder
MAX_WORLD_JSON = 4 << 20  # bytes; a manifest larger than this is not one of ours


@dataclass(frozen=True)
class WorldFile:
    """One file of a world: path relative to the folder, size and sha256 as recorded at making."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, eq=False, repr=False)
class World:
    """A validated world.json.

    Attributes:
        root: the folder.
        sizes: engine-specific configuration, see ``engines/<engine>/config.py``.
        files: by role: ``llm``, ``vision``, ``detokenizer``, ``tokenizer/...``, ``unet``, ``vae``.
        painter: ``{"unet": diffusers config, "vae": ..., "scheduler": ...}`` of a world that brings
            its own painter, else None; ``base`` names what to patch otherwise (``sdxl``).
        panel_size: native (width, height) in pixels.
        defaults: engine-specific defaults, e.g. of sampling.
        openings: ``{"image": relative path, "text": ...}`` examples to begin with.
        notice: a sentence users must see (as that an untrained world babbles), or "".
        digest: tells worlds apart: world.json's ``identity`` (converted worlds name what they were
            made from, since merging rounds differently from machine to machine), else `digest_of`.
    """

    root: Path
    name: str
    title: str
    engine: str
    sizes: Mapping[str, Any]
    files: Mapping[str, WorldFile]
    panel_size: tuple[int, int]
    licence: str
    provenance: Mapping[str, Any]
    painter: Mapping[str, Any] | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    openings: tuple[Mapping[str, str], ...] = ()
    notice: str = ""
    digest: str = ""

    @property
    def ref(self) -> WorldRef:
        return WorldRef(self.name, self.digest)

    def __repr__(self) -> str:
        return f"World({self.name!r}, {self.engine})"

    def opening(self, number: int) -> tuple[Path, str]:
        """Picture file and sentence of the world's opening ``number``, counted from 1.

        Raises:
            SeedStoryError: the world has no such opening.
        """
        if not 1 <= number <= len(self.openings):
            raise SeedStoryError(
                f"World {self.name!r} brings {len(self.openings)} openings of its own, but number "
                f"{number} was asked for. Choose another, or give a picture and a sentence."
            )
        chosen = self.openings[number - 1]
        return inside(self.root, str(chosen["image"])), str(chosen["text"])

    def file(self, role: str) -> Path:
        """Absolute path of the file with this role; an error names what the world lacks."""
        entry = self.files.get(role)
        if entry is None:
            raise SeedStoryError(
                f"World {self.name!r} has no {role!r} file; it has {', '.join(sorted(self.files))}."
            )
        path = inside(self.root, entry.path)
        if not path.is_file():
            raise SeedStoryError(
                f"World {self.name!r}: {entry.path} is listed in world.json but missing in "
                f"{self.root}. Copy the folder anew, or see: python -m seedstory_core doctor"
            )
        return path


def inside(root: Path, relative: str) -> Path:
    """``root/relative``, refusing every path that leaves ``root`` (links included).

    Both separators are understood, whatever system the name was written on.

    Raises:
        SeedStoryError: it leaves ``root``, or no file can have this name.
    """
    from .names import fault

    pure = PurePosixPath(relative.replace("\\", "/"))
    try:
        if "\0" in relative or any(len(name.encode()) > MAX_NAME for name in pure.parts):
            raise ValueError(f"a part of it has NUL, or more than {MAX_NAME} bytes")
        if len(relative) > MAX_PATH:
            raise ValueError(f"it has more than {MAX_PATH} letters")
        target, top = (root / pure).resolve(), root.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # half a letter; links in a circle
        raise SeedStoryError(
            f"The path {relative!r:.80} in {root} is no file's name ({error}); refusing it."
        ) from error
    if pure.is_absolute() or ":" in relative or not target.is_relative_to(top):
        raise SeedStoryError(f"The path {relative!r:.300} leaves its folder {root}; refusing it.")
    for name in pure.parts:
        if name != ".." and (reason := fault(name)) is not None:
            raise SeedStoryError(
                f"{name!r:.80} in the path {relative!r:.80} {reason}; refusing it."
            )
    return target


def digest_of(engine: str, sizes: Mapping[str, Any], files: Mapping[str, WorldFile]) -> str:
    """sha256 over engine, sizes and the recorded hashes of all files that tell (reads no weights).

    Files that only paint are left out: with another painter the same story goes on.
    """
    told = {role: entry.sha256 for role, entry in files.items() if role not in PAINTING}
    body = json.dumps([engine, sizes, told], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(body.encode()).hexdigest()


def load_world(root: Path) -> World:
    """Read and validate ``root/world.json``.

    Raises:
        SeedStoryError: not a world, a newer version, wrong types, or paths that leave the folder.
    """
    manifest = root / "world.json"
    if not manifest.is_file():
        raise SeedStoryError(
            f"{root} is not a world folder: it has no world.json. Make one with "
            "python -m seedstory_core convert, or point at a folder that has one."
        )
    if manifest.stat().st_size > MAX_WORLD_JSON:
        raise SeedStoryError(f"{manifest} is larger than {MAX_WORLD_JSON} bytes; not a world.json.")
    try:
        data = json.loads(manifest.read_text(encoding="utf-8"))
        if data.get("format") != FORMAT or int(data["version"]) > VERSION:
            raise SeedStoryError(
                f"{manifest}: expected format {FORMAT!r} version <= {VERSION}, got "
                f"{data.get('format')!r} version {data.get('version')!r}. Update the pack."
            )
        return _world(root, data)
    except SeedStoryError:
        raise
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SeedStoryError(f"{manifest} is not valid JSON: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SeedStoryError(f"{manifest} lacks or misshapes the field {error}.") from error


def _world(root: Path, data: Mapping[str, Any]) -> World:
    files = {
        role: WorldFile(str(entry["path"]), int(entry["bytes"]), str(entry["sha256"]))
        for role, entry in data["files"].items()
    }
    for entry in files.values():
        inside(root, entry.path)
    width, height = data["panel_size"]
    return World(
        root=root,
        name=root.name,
        title=str(data.get("title", root.name)),
        engine=str(data["engine"]),
        sizes=freeze(dict(data["sizes"].items())),
        files=freeze(files),
        panel_size=(int(width), int(height)),
        licence=str(data.get("licence", "unknown")),
        provenance=freeze(data.get("provenance")),
        painter=freeze(data["painter"]) if data.get("painter") else None,
        defaults=freeze(data.get("defaults")),
        openings=tuple(freeze(item) for item in data.get("openings", ())),
        notice=str(data.get("notice", "")),
        digest=_identity(data) or digest_of(str(data["engine"]), data["sizes"], files),
    )


def _identity(data: Mapping[str, Any]) -> str:
    identity = data.get("identity", "")
    if not isinstance(identity, str) or not re.fullmatch("[0-9a-f]{64}|", identity):
        raise TypeError(f"'identity' (64 hexadecimal digits expected, got {identity!r:.80})")
    return identity


def find_worlds(roots: Iterable[Path]) -> dict[str, Path]:
    """``{bare folder name: folder}`` of every world under ``roots``; earlier roots win."""
    found: dict[str, Path] = {}
    for root in roots:
        if root.is_dir():
            for folder in sorted(root.iterdir()):
                if (folder / "world.json").is_file():
                    found.setdefault(folder.name, folder)
    return found
