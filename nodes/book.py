"""Story Page, Show Story, Load Story: reading a story, on paper, in the node, from disk."""

from __future__ import annotations

from comfy_api.latest import io

from ..seedstory_core.images import to_float
from ..seedstory_core.story_reader import MANIFEST
from ..seedstory_core.story_store import load_story
from ..seedstory_core.types import Story
from . import host, types
from .early import STORY, late_story

CATEGORY = "SEED-Story/story"


class StoryPage(io.ComfyNode):
    """A story -> pages with pictures and captions."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_StoryPage",
            display_name="Story Page",
            category=CATEGORY,
            description="Lays the story out on pages: pictures with their captions, wrapped and "
            "set in a font that has the letters.",
            search_aliases=["storybook", "comic page", "book"],
            inputs=[
                late_story("Any story; panels without a picture show their text."),
                io.Combo.Input(
                    "layout",
                    options=host.layout_names(),
                    default=host.layout_names()[0],
                    tooltip="How panels are placed on a page.",
                ),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=8192,
                    step=8,
                    tooltip="Page width in pixels. 0: as the layout says.",
                ),
                io.Combo.Input(
                    "font",
                    options=host.font_names(),
                    default=host.font_names()[0],
                    tooltip="Automatic takes the first font that has all letters. Own fonts go to "
                    "models/seedstory/fonts.",
                ),
            ],
            outputs=[io.Image.Output(display_name="pages", tooltip="All pages, as one batch.")],
        )

    @classmethod
    def check_lazy_status(cls, font: str, **_others: object) -> list[str]:
        host.check_font(font)
        return STORY

    @classmethod
    def execute(cls, story: Story, layout: str, width: int, font: str) -> io.NodeOutput:
        host.interruptible()
        pages = to_float(host.story_pages(story, layout, width, font))
        return io.NodeOutput(pages, ui=host.text_ui(*host.page_left_out(story, font)))


class ShowStory(io.ComfyNode):
    """Shows a story inside the node."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_ShowStory",
            display_name="Show Story",
            category=CATEGORY,
            description="Shows pictures and captions of all panels in the node, and passes the "
            "story on.",
            search_aliases=["preview story", "read story"],
            is_output_node=True,
            inputs=[types.Story.Input("story", tooltip="The story to show.")],
            outputs=[types.Story.Output(display_name="story", tooltip="The same story.")],
        )

    @classmethod
    def execute(cls, story: Story) -> io.NodeOutput:
        return io.NodeOutput(story, ui=host.saved_panels(story.panels, story.closing))


class LoadStory(io.ComfyNode):
    """A story folder -> the story."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        runs = host.story_choices()
        return host.schema(
            node_id="SeedStory_LoadStory",
            display_name="Load Story",
            category=CATEGORY,
            description="Loads a story that was kept, also one that was cancelled half-way: go "
            "on telling, paint it, or print it.",
            search_aliases=["resume story", "open story"],
            inputs=[
                io.Combo.Input(
                    "run",
                    options=runs,
                    default=runs[0],
                    tooltip="Folder in output/seedstory. (newest) is the one saved last.",
                )
            ],
            outputs=[types.Story.Output(display_name="story", tooltip="The story as it was kept.")],
        )

    @classmethod
    def fingerprint_inputs(cls, run: str) -> str:
        """Load again whenever the folder has changed."""
        folder = host.find_story(run)
        if folder is None:
            return "none"
        state = (folder / MANIFEST).stat()
        return f"{folder.name}:{state.st_mtime_ns}:{state.st_size}"

    @classmethod
    def execute(cls, run: str) -> io.NodeOutput:
        return io.NodeOutput(load_story(host.story_folder(run)))


NODES: tuple[type[io.ComfyNode], ...] = (StoryPage, ShowStory, LoadStory)
