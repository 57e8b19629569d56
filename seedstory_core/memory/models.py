"""The models of a world for a budget: their weights, and the bytes that a pass of them takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import nn

from ..context import ContextPolicy
from ..engine import ENGINES
from ..errors import SeedStoryError
from ..world import World
from .counting import META, working_bytes
from .painting import PainterShapes
from .weights import Weights, file_weights, module_weights

TOLD_BY = {"see": "vision", "tell": "llm", "condition": "detokenizer"}  # phase -> the engine's part
PAINTED_BY = {"paint": "unet", "decode": "vae"}


class EngineMemory(Protocol):
    """What an engine says of its memory: ``Memory`` in its ``memory.py``."""

    prefixes: Mapping[str, str]

    @property
    def picture_rows(self) -> int: ...

    @property
    def max_rows(self) -> int: ...

    def build(self, part: str) -> nn.Module: ...

    def stories_at_once(self, context: ContextPolicy) -> int: ...

    def kept_bytes(self, rows: int, dtype: torch.dtype, context: ContextPolicy) -> int: ...

    def run(self, part: str, module: nn.Module, dtype: torch.dtype, rows: int) -> Any: ...


def part_weights(world: World, part: str) -> Weights:
    """Of a file of the world, or of the model it will be painted with, as SDXL's are stored."""
    engine = engine_memory(world.engine, as_key(world.sizes))
    entry = world.files.get(part)
    if entry is not None and (world.root / entry.path).is_file():
        return file_weights(part, world.file(part), engine.prefixes.get(part, ""))
    own = part in TOLD_BY.values()
    with META:
        module = engine.build(part) if own else PainterShapes.of(world).build(part)
    return module_weights(part, module, torch.float16)


def can_plan(world: World) -> bool:
    """Whether the world's engine says what it takes; one that does not runs without a plan."""
    place = _memory_module(world.engine)
    return place is not None and find_spec(place, __package__) is not None


def engine_memory(engine: str, sizes: str) -> EngineMemory:
    """The ``Memory`` of an engine for a world's sizes, given `as_key`.

    Raises:
        SeedStoryError: there is no such engine.
    """
    place = _memory_module(engine)
    if place is None:
        raise SeedStoryError(
            f"No memory plan for the engine {engine!r}; this version has "
            f"{', '.join(sorted(ENGINES))}. Update the pack."
        )
    return import_module(place, __package__).Memory.of(json.loads(sizes))


def _memory_module(engine: str) -> str | None:
    """``memory.py`` beside the engine's own module."""
    spec = ENGINES.get(engine)
    return None if spec is None else f".{spec.module.rpartition('.')[0]}.memory"


@lru_cache(maxsize=64)
def engine_pass(engine: str, sizes: str, part: str, dtype: torch.dtype, rows: int) -> int:
    """Bytes of the largest pass of an engine's part, reading ``rows`` rows at once."""
    memory = engine_memory(engine, sizes)
    with META:
        module = memory.build(part).eval().to(dtype)
    return working_bytes(memory.run(part, module, dtype, rows))


@lru_cache(maxsize=64)
def unet_pass(shapes: PainterShapes, dtype: torch.dtype, batch: int) -> int:
    """Bytes of one step of sampling."""
    return working_bytes(shapes.paint(_painting(shapes, "unet", dtype), dtype, batch))


@lru_cache(maxsize=64)
def vae_pass(shapes: PainterShapes, dtype: torch.dtype, tiled: bool) -> int:
    """Bytes of one decoding, or of one tile's."""
    return working_bytes(shapes.decode(_painting(shapes, "vae", dtype), dtype, tiled))


def as_key(value: Mapping[str, Any]) -> str:
    """JSON as a value that can be a key of a cache."""
    return json.dumps(value, sort_keys=True, default=dict)


def _painting(shapes: PainterShapes, part: str, dtype: torch.dtype) -> nn.Module:
    with META:
        return nn.Module.to(shapes.build(part).eval(), dtype)  # diffusers' own ``to`` warns
