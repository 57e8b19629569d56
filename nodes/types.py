"""The SEEDSTORY_* edge types and the model handle that travels on three of them.

Everything on an edge is shared by all consumers and printed in error reports, so it is frozen and
has a short ``__repr__``. Stories, features and settings are the library's own values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from comfy_api.latest import io

from ..seedstory_core.engine import Engine
from ..seedstory_core.world import World

Story = io.Custom("SEEDSTORY_STORY")
Llm = io.Custom("SEEDSTORY_LLM")
Vision = io.Custom("SEEDSTORY_VISION")
Detokenizer = io.Custom("SEEDSTORY_DETOKENIZER")
Features = io.Custom("SEEDSTORY_FEATURES")
Sampling = io.Custom("SEEDSTORY_SAMPLING")
Context = io.Custom("SEEDSTORY_CONTEXT")
Loop = io.Custom("SEEDSTORY_LOOP")
Memory = io.Custom("SEEDSTORY_MEMORY")
Book = io.Custom("SEEDSTORY_BOOK")


@dataclass(frozen=True, eq=False, repr=False)
class EngineHandle:
    """One part of a story engine, as it travels along the graph.

    The engine comes with it, so nodes need no other input; the part is loaded at its first use.

    Attributes:
        engine: the engine; nodes use its protocol only.
        part: which of its parts this handle stands for.
        world: whose weights it uses.
    """

    engine: Engine
    part: str
    world: World

    def __repr__(self) -> str:
        return f"EngineHandle({self.part} of {self.world.name!r}, {self.engine.name})"

    @property
    def patcher(self) -> Any:
        """ComfyUI's ModelPatcher of the part, None before its first use.

        The host's cache looks for this attribute to tell models from other values.
        """
        return getattr(self.engine.parts.get(self.part), "patcher", None)

    def is_dynamic(self) -> bool:
        """Whether the host pages the weights in by itself, so that dropping this frees nothing."""
        part = self.engine.parts.get(self.part)
        return part is not None and part.is_dynamic()  # type: ignore[attr-defined]
