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
from .strict_json import read_json, shown, text, whole
from .types import WorldRef, freeze

FORMAT = "seedstory-world"
VERSION = 1
PAINTING = frozenset({"detokenizer", "unet", "vae"})  # roles of files that tell nothing
MAX_NAME = 255  # bytes of a file's name, which all file systems of today hold
MAX_SIDE = 8192  # pixels along the side of a panel
MAX_FILES, MAX_BYTES = 1000, 1 << 50  # of a world, and of one of its files
MAX_WORDS = 8000  # letters of a title, a licence, a notice, an opening
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
    data = read_json(manifest, MAX_WORLD_JSON, "Copy the world anew.")
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        got = shown(data.get("format") if isinstance(data, dict) else data)
        raise SeedStoryError(f"{manifest} lacks or misshapes the format: expected {FORMAT!r}, got "
                             f"{got}. It is no world, or of another program.")  # fmt: skip
    version = data.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= VERSION:
        raise SeedStoryError(
            f"{manifest}: expected format {FORMAT!r} version <= {VERSION}, got version "
            f"{shown(version)}. Update the pack."
        )
    try:
        return _world(root, data)
    except SeedStoryError as error:
        raise SeedStoryError(f"{manifest}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SeedStoryError(f"{manifest} lacks or misshapes the field {error}.") from error


def _world(root: Path, data: Mapping[str, Any]) -> World:
    sizes, files = _object(data, "sizes"), _files(root, _object(data, "files"))
    size = data["panel_size"]
    if not isinstance(size, list) or len(size) != 2:
        raise TypeError(f"'panel_size' (width and height expected, got {shown(size)})")
    width, height = (whole(side, "panel_size", 1, MAX_SIDE) for side in size)
    engine = text(data["engine"], "engine", MAX_NAME)
    return World(
        root=root,
        name=root.name,
        title=text(data.get("title", root.name), "title", MAX_WORDS),
        engine=engine,
        sizes=freeze(sizes),
        files=freeze(files),
        panel_size=(width, height),
        licence=text(data.get("licence", "unknown"), "licence", MAX_WORDS),
        provenance=freeze(_object(data, "provenance", {})),
        painter=_painter(data),
        defaults=freeze(_object(data, "defaults", {})),
        openings=_openings(root, data.get("openings") or []),
        notice=text(data.get("notice", ""), "notice", MAX_WORDS),
        digest=_identity(data) or digest_of(engine, sizes, files),
    )


def _object(data: Mapping[str, Any], key: str, default: Any = None) -> dict[str, Any]:
    value = data.get(key, default)
    value = default if value is None else value
    if not isinstance(value, dict):
        raise TypeError(f"{key!r} (an object expected, got {shown(value)})")
    return value


def _files(root: Path, entries: Mapping[str, Any]) -> dict[str, WorldFile]:
    files = {}
    for role, entry in entries.items():
        if len(files) == MAX_FILES or not isinstance(entry, dict):
            raise TypeError(f"'files' (at most {MAX_FILES} objects expected, {role!r:.80} is more)")
        path = text(entry["path"], f"path of {role!r:.80}", MAX_PATH)
        size = whole(entry["bytes"], f"bytes of {role!r:.80}", 0, MAX_BYTES)
        files[role] = WorldFile(path, size, text(entry["sha256"], f"sha256 of {role!r:.80}", 80))
        inside(root, path)
    return files


def _painter(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    painter = _object(data, "painter", {})
    for part in ("unet", "vae", "scheduler"):
        if painter.get(part) is not None and not isinstance(painter[part], dict):
            raise TypeError(f"'painter.{part}' (an object expected, got {shown(painter[part])})")
    return freeze(painter) if painter else None


def _openings(root: Path, entries: object) -> tuple[Mapping[str, str], ...]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise TypeError("'openings' (a list of objects expected)")
    for entry in entries:
        inside(root, text(entry["image"], "image of an opening", MAX_PATH))
        text(entry["text"], "text of an opening", MAX_WORDS)
    return tuple(freeze(entry) for entry in entries)


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
