"""Story View: a story and its branches to look at, with the panel that the next run starts from."""

from __future__ import annotations

from collections.abc import Sequence

from comfy_api.latest import io

from ..seedstory_core.types import Story
from . import host, types
from .book import CATEGORY
from .picks import ACTIONS, END, Pick, first

MAX_PICK = 10_000


class StoryView(io.ComfyNode):
    """Shows stories inside the node, and hands one on up to the panel that was picked."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_StoryView",
            display_name="Story View",
            category=CATEGORY,
            description="Shows the story while it is told, with its branches. Pick a panel in the "
            "view: the next run goes on from it or tells it anew. The pick is part of the "
            "workflow.",
            search_aliases=["interactive story", "pick panel", "branch tree", "rewind story"],
            is_output_node=True,
            is_input_list=True,
            inputs=[
                types.Story.Input(
                    "story", tooltip="The story to show. Of a list, the others are branches of it."
                ),
                io.Int.Input(
                    "pick",
                    default=END,
                    min=END,
                    max=MAX_PICK,
                    tooltip="The picked panel: 0 is the opening, -1 the newest. The view fills "
                    "it in.",
                ),
                io.Combo.Input(
                    "action",
                    options=list(ACTIONS),
                    default=next(iter(ACTIONS)),
                    tooltip="go on: the story ends with the picked panel, so the next is told "
                    "after it. re-roll: it ends before the picked panel, so that is told anew; "
                    "use another seed. whole story: nothing is left out, only 'panel' tells the "
                    "pick.",
                ),
                io.String.Input(
                    "branch",
                    default="",
                    tooltip="Empty: the pick is a panel of 'story'. Otherwise the uid of a panel "
                    "picked on another branch. The view fills it in.",
                ),
                types.Story.Input(
                    "stories",
                    optional=True,
                    tooltip="More branches of the story, as from Tell Futures: one story or a "
                    "list.",
                ),
            ],
            outputs=[
                types.Story.Output(
                    display_name="story", tooltip="The story up to the pick, to tell on from."
                ),
                io.Int.Output(
                    display_name="panel", tooltip="Number of the picked panel, never negative."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        story: Sequence[Story],
        pick: Sequence[int],
        action: Sequence[str],
        branch: Sequence[str],
        stories: Sequence[Story] | None = None,
    ) -> io.NodeOutput:
        shown = [*story, *(stories or ())]
        chosen = Pick(first(pick), first(action), first(branch))
        picked, panel = chosen.of(shown)
        return io.NodeOutput(picked, panel, ui={"seedstory_tree": [host.story_tree(shown)]})


NODES: tuple[type[io.ComfyNode], ...] = (StoryView,)
