"""Rewind, Branch, Join, Remove, Reorder, Get Panel: a story's line of panels; no model is asked."""

from __future__ import annotations

from collections.abc import Sequence

from comfy_api.latest import io

from ..seedstory_core import operations
from ..seedstory_core.images import to_float
from ..seedstory_core.story import check_index
from ..seedstory_core.types import Story
from . import host, types
from .early import STORY, late_story
from .editing import CATEGORY, panel_input
from .picks import first
from .values import features_at


def story_output(tip: str) -> io.Output:
    return types.Story.Output(display_name="story", tooltip=tip)


class RewindStory(io.ComfyNode):
    """A story -> its beginning."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_RewindStory",
            display_name="Rewind Story",
            category=CATEGORY,
            description="Takes a story back to a panel, which is its last one then: tell on from "
            "there. The same seeds tell the same story again. An ended story is open again.",
            search_aliases=["go back", "undo panels", "fork story"],
            inputs=[
                types.Story.Input("story", tooltip="The story to take back."),
                panel_input("The last panel to keep: 0 is the opening, -2 leaves out the newest."),
            ],
            outputs=[story_output("The story up to that panel.")],
        )

    @classmethod
    def execute(cls, story: Story, panel: int) -> io.NodeOutput:
        return io.NodeOutput(operations.rewind(story, panel))


class BranchStory(io.ComfyNode):
    """A story -> its beginning under another name."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_BranchStory",
            display_name="Branch Story",
            category=CATEGORY,
            description="Takes a story back to a panel under a name of its own: what is told on it "
            "is kept in another folder, and the first story stays as it is.",
            search_aliases=["fork story", "alternative story", "what if"],
            inputs=[
                types.Story.Input("story", tooltip="The story to branch off from."),
                panel_input("The last panel that both have: 0 is the opening, -1 the newest."),
                io.String.Input(
                    "run",
                    default="",
                    tooltip="Name of the branch and of its folder in output/seedstory. Empty: the "
                    "story's name and the panel's number.",
                ),
            ],
            outputs=[story_output("The branch, to tell on.")],
        )

    @classmethod
    def execute(cls, story: Story, panel: int, run: str) -> io.NodeOutput:
        side = operations.branch(story, panel, run.strip() or None)
        host.keep_story(side)
        return io.NodeOutput(side)


class JoinStories(io.ComfyNode):
    """Several stories -> one, for one book."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_JoinStories",
            display_name="Join Stories",
            category=CATEGORY,
            description="Puts stories of one world behind each other, as two branches into one "
            "book. What they begin with in common comes only once. Captions, pictures and features "
            "stay as they are.",
            search_aliases=["merge stories", "combine branches", "append story"],
            is_input_list=True,
            inputs=[
                types.Story.Input("story", tooltip="The first story. Of a list, all in order."),
                types.Story.Input(
                    "stories", optional=True, tooltip="What comes behind: one story or a list."
                ),
                io.String.Input(
                    "run",
                    default="",
                    tooltip="Name of the joined story and of its folder in output/seedstory. "
                    "Empty: the first story's name and 'joined'.",
                ),
            ],
            outputs=[story_output("One story with the panels of all.")],
        )

    @classmethod
    def execute(
        cls, story: Sequence[Story], run: Sequence[str], stories: Sequence[Story] | None = None
    ) -> io.NodeOutput:
        both = operations.join([*story, *(stories or ())], first(run).strip() or None)
        host.keep_story(both)
        return io.NodeOutput(both)


class RemovePanels(io.ComfyNode):
    """A story without some panels."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_RemovePanels",
            display_name="Remove Panels",
            category=CATEGORY,
            description="Takes panels out of a story; the others stay as they are. The story with "
            "all panels stays in its own folder.",
            search_aliases=["delete panel", "cut panels"],
            inputs=[
                late_story("The story to take panels out of."),
                io.String.Input(
                    "panels",
                    default="1",
                    tooltip="Numbers and ranges, as in 2, 4-6; -1 is the newest. The opening, 0, "
                    "must stay.",
                ),
            ],
            outputs=[story_output("The story without them.")],
        )

    @classmethod
    def check_lazy_status(cls, panels: str, **_others: object) -> list[str]:
        operations.check_panels(panels)
        return STORY

    @classmethod
    def execute(cls, story: Story, panels: str) -> io.NodeOutput:
        left = operations.remove(story, operations.panel_selection(story, panels))
        host.keep_story(left)
        return io.NodeOutput(left)


class ReorderPanels(io.ComfyNode):
    """A story with its panels in another order."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_ReorderPanels",
            display_name="Reorder Panels",
            category=CATEGORY,
            description="Puts the panels of a story into another order. Each keeps its caption, "
            "features and picture.",
            search_aliases=["move panel", "sort panels", "swap panels"],
            inputs=[
                late_story("The story to put in order."),
                io.String.Input(
                    "order",
                    default="0",
                    tooltip="Every panel's number once, in the new order, as in 0, 3, 1-2. The "
                    "opening, 0, comes first.",
                ),
            ],
            outputs=[story_output("The story in the new order.")],
        )

    @classmethod
    def check_lazy_status(cls, order: str, **_others: object) -> list[str]:
        operations.check_panels(order)
        return STORY

    @classmethod
    def execute(cls, story: Story, order: str) -> io.NodeOutput:
        moved = operations.reorder(story, operations.panel_order(story, order))
        host.keep_story(moved)
        return io.NodeOutput(moved)


class GetPanel(io.ComfyNode):
    """A story -> one panel's caption, features and picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_GetPanel",
            display_name="Get Panel",
            category=CATEGORY,
            description="Takes one panel out of a story, as for painting it again with a "
            "ControlNet: features into Story Conditioning, the new picture into Attach Image.",
            search_aliases=["select panel", "panel features"],
            inputs=[
                types.Story.Input("story", tooltip="Any story, painted or not."),
                panel_input("Which panel: 0 is the opening, -1 the newest."),
            ],
            outputs=[
                io.String.Output(display_name="caption", tooltip="The panel's caption."),
                types.Features.Output(
                    display_name="features", tooltip="What its picture is painted from; one row."
                ),
                io.Image.Output(
                    display_name="image",
                    tooltip="Its picture. Nothing behind this runs while it has none.",
                ),
                io.Int.Output(display_name="panel", tooltip="Its number, never negative."),
            ],
        )

    @classmethod
    def execute(cls, story: Story, panel: int) -> io.NodeOutput:
        index = check_index(story, panel)
        found = story.panels[index]
        image = host.nothing() if found.image is None else to_float([found.image])
        return io.NodeOutput(found.caption, features_at(story, [index]), image, index)


NODES: tuple[type[io.ComfyNode], ...] = (
    RewindStory,
    BranchStory,
    JoinStories,
    RemovePanels,
    ReorderPanels,
    GetPanel,
)
