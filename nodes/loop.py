"""Story Loop Open and Close: the user's own nodes between them run once for each turn."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..seedstory_core.errors import SeedStoryError
from ..seedstory_core.types import Story
from . import host, types
from .settings import MAX_SEED
from .unroll import unroll

CATEGORY = "SEED-Story/loop"
OPEN = "SeedStory_StoryLoopOpen"
MAX_TURNS = 60  # ComfyUI's own bookkeeping grows with the square of the number of nodes


class StoryLoopOpen(io.ComfyNode):
    """Where the body of a story loop begins."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_StoryLoopOpen",
            display_name="Story Loop Open",
            category=CATEGORY,
            description="Begins a loop: what you wire between this and Story Loop Close runs "
            "once for each turn, and every turn continues the story of the one before.",
            search_aliases=["for each panel", "loop start"],
            inputs=[
                types.Story.Input("story", tooltip="The story to go on from."),
                io.Int.Input(
                    "seed",
                    default=42,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="Turn number i gives seed + i at the seed output.",
                ),
                io.Int.Input(
                    "index",
                    default=0,
                    min=0,
                    max=1_000_000,
                    socketless=True,
                    tooltip="Number of the first turn; the loop counts up from it.",
                ),
            ],
            outputs=[
                types.Loop.Output(display_name="loop", tooltip="Connect to Story Loop Close."),
                types.Story.Output(
                    display_name="story", tooltip="The story as this turn finds it."
                ),
                io.Int.Output(display_name="index", tooltip="Number of the turn."),
                io.Int.Output(
                    display_name="seed", tooltip="seed + index, for this turn's sampler."
                ),
            ],
        )

    @classmethod
    def execute(cls, story: Story, seed: int, index: int) -> io.NodeOutput:
        if host.further_item():
            raise SeedStoryError(
                "A story loop tells one story, but a list of several came to Story Loop Open. Give "
                "each its own loop, or tell them with Tell Story, which runs once for each."
            )
        return io.NodeOutput("loop", story, index, (seed + index) & MAX_SEED)


class StoryLoopClose(io.ComfyNode):
    """Where the body of a story loop ends.

    It runs before the body: it needs the connections only, not what comes through them. So what
    cannot be repeated is said before anything is told, and the copies are known before a cache
    drops what they are made from. It is asynchronous because ComfyUI runs such nodes first.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_StoryLoopClose",
            display_name="Story Loop Close",
            category=CATEGORY,
            description="Ends a loop. Each turn is cached on its own: more turns run only what "
            "is new. Previews inside the body show the newest turn.",
            search_aliases=["loop end"],
            enable_expand=True,
            hidden=[io.Hidden.dynprompt, io.Hidden.unique_id],
            inputs=[
                types.Loop.Input(
                    "loop",
                    lazy=True,
                    extra_dict={"rawLink": True},
                    tooltip="From the Story Loop Open this belongs to.",
                ),
                types.Story.Input(
                    "story",
                    lazy=True,
                    extra_dict={"rawLink": True},
                    tooltip="The story at the end of a turn.",
                ),
                io.Int.Input(
                    "count", default=4, min=1, max=MAX_TURNS, tooltip="How many turns to run."
                ),
            ],
            outputs=[
                types.Story.Output(display_name="story", tooltip="The story after the last turn.")
            ],
        )

    @classmethod
    def check_lazy_status(cls, **_inputs: object) -> list[str]:
        """Nothing: the copies ask for the stories."""
        return []

    @classmethod
    async def execute(cls, loop: Any, story: Any, count: int) -> io.NodeOutput:
        if not isinstance(loop, list):
            raise SeedStoryError("Connect 'loop' straight from Story Loop Open.")
        if count > 1 and not host.can_expand():
            raise SeedStoryError(
                "ComfyUI was started with --cache-none, and this version of it cannot repeat nodes "
                "without its cache. Start it without --cache-none, or set 'count' to 1."
            )
        close = cls.hidden.unique_id
        graph = host.PromptGraph(cls.hidden.dynprompt, close)
        clones, result = unroll(graph, loop[0], close, count, OPEN)
        return io.NodeOutput(result, expand=clones)


NODES: tuple[type[io.ComfyNode], ...] = (StoryLoopOpen, StoryLoopClose)
