"""Telling within ComfyUI's memory: what is kept afterwards is counted, and moves when it must."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...seedstory_core.engine import Engine
from ...seedstory_core.memory import Plan, kept_by
from .parts import ComfyPart


@contextmanager
def parking(engine: Engine, plan: Plan | None = None) -> Iterator[None]:
    """Whatever happens inside, ``engine`` is in no other model's way afterwards.

    Under ComfyUI's model management the rows it keeps may stay on the device: ComfyUI counts them
    and moves them to the CPU when it needs the room. Elsewhere they are moved at once.

    Args:
        plan: how much of the device to leave to others.
    """
    part, keeper = engine.parts.get("llm"), kept_by(engine)
    if not isinstance(part, ComfyPart) or keeper is None:
        try:
            yield
        finally:
            engine.park()
        return
    part.keeps(keeper)
    part.reserve = plan.reserve if plan is not None else 0
    try:
        yield
    finally:
        part.reserve = 0
