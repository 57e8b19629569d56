"""Words that a world does not know, named where its engine can tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .engine import Engine


def unknown_note(engine: Engine, *texts: str) -> str:
    """A sentence that names the words of ``texts`` which the engine's world never learned, or "".

    Engines that can tell have ``unknown_words(text) -> Sequence[str]``; of others nothing is said.
    """
    ask: Any = getattr(engine, "unknown_words", None)
    words: Sequence[str] = ask("\n".join(texts)) if ask is not None else ()
    if not words:
        return ""
    named = ", ".join(repr(word[:40]) for word in words)
    return (
        f"World {engine.world.name!r} does not know the words {named}: it tells and paints "
        "something that it knows in their place. Use other words where that matters."
    )
