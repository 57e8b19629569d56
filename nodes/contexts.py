"""Context policies as values: what the next panel reads of the story."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..seedstory_core.context import ORIGINAL, REINDEXED, Block, Dense, MultimodalSink, Window
from . import host, types
from .settings import CATEGORY

MANY = 1000


def _context() -> Any:
    return types.Context.Output(display_name="context", tooltip="For the telling nodes.")


class WindowContext(io.ComfyNode):
    """The newest panels are in view."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_WindowContext",
            display_name="Window Context",
            category=CATEGORY,
            description="The next panel reads the newest panels only, as the reference does (8).",
            search_aliases=["context", "memory", "window"],
            inputs=[
                io.Int.Input(
                    "size", default=8, min=1, max=MANY, tooltip="How many panels are in view."
                )
            ],
            outputs=[_context()],
        )

    @classmethod
    def execute(cls, size: int) -> io.NodeOutput:
        return io.NodeOutput(Window(size))


class DenseContext(io.ComfyNode):
    """All panels are in view."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_DenseContext",
            display_name="Dense Context",
            category=CATEGORY,
            description="The next panel reads every panel before it; time and memory grow with "
            "the story.",
            search_aliases=["context", "memory", "full"],
            inputs=[],
            outputs=[_context()],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(Dense())


class BlockContext(io.ComfyNode):
    """The newest panels are in view; old ones leave several at once."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_BlockContext",
            display_name="Block Context",
            category=CATEGORY,
            description="The next panel reads the newest panels only. Old ones leave several at "
            "once, so that the story is rarely read anew: faster than a window, above all on a "
            "CPU.",
            search_aliases=["context", "memory", "window", "fast"],
            inputs=[
                io.Int.Input(
                    "size",
                    default=8,
                    min=1,
                    max=MANY,
                    tooltip="How many panels are in view at most.",
                ),
                io.Int.Input(
                    "step",
                    default=4,
                    min=1,
                    max=MANY,
                    tooltip="How many panels leave at once when there are more. Not above 'size'.",
                ),
            ],
            outputs=[_context()],
        )

    @classmethod
    def execute(cls, size: int, step: int) -> io.NodeOutput:
        return io.NodeOutput(Block(size, step))


def _rows(name: str, default: int, where: str) -> Any:
    return io.Int.Input(
        name,
        default=default,
        min=0,
        max=MANY,
        tooltip=f"How many word pieces of an evicted panel stay {where}.",
    )


class SinkContext(io.ComfyNode):
    """A window, and what older panels leave behind: the multimodal attention sink."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_SinkContext",
            display_name="Sink Context",
            category=CATEGORY,
            description="The paper's multimodal attention sink: the newest panels are in view, and "
            "of older ones the few places that draw the attention, around the beginning and the "
            "end of each picture. For long stories: time and memory stay constant.",
            search_aliases=["context", "memory", "attention sink", "long story", "streaming"],
            inputs=[
                io.Int.Input(
                    "window",
                    default=8,
                    min=1,
                    max=MANY,
                    tooltip="How many panels are in view as a whole.",
                ),
                io.Int.Input(
                    "cap",
                    default=16,
                    min=0,
                    max=MANY,
                    tooltip="Of how many older panels something stays; the oldest leave first. "
                    "0: only the story's first words stay.",
                ),
                io.Combo.Input(
                    "positions",
                    options=[REINDEXED, ORIGINAL],
                    default=REINDEXED,
                    tooltip="reindexed: what is in view is counted anew, so a story may be as long "
                    "as you like. original: everything keeps its place in the story, up to the "
                    "model's limit.",
                ),
                io.Int.Input(
                    "first",
                    default=4,
                    min=1,
                    max=MANY,
                    tooltip="How many word pieces of the story's beginning stay for ever.",
                ),
                _rows("before_begin", 4, "before its picture begins"),
                _rows("from_begin", 8, "from where its picture begins"),
                _rows("before_end", 8, "before its picture ends"),
                _rows("from_end", 4, "from where its picture ends"),
            ],
            outputs=[_context()],
        )

    @classmethod
    def execute(cls, **fields: Any) -> io.NodeOutput:
        return io.NodeOutput(MultimodalSink(**fields))


NODES: tuple[type[io.ComfyNode], ...] = (WindowContext, DenseContext, BlockContext, SinkContext)
