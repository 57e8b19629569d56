"""Save Story File, Load Story File, Save Story Images: whole stories in and out of ComfyUI."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..seedstory_core.images import from_float
from ..seedstory_core.story_file import open_any, with_workflow
from ..seedstory_core.types import Story
from . import host, types

CATEGORY = "SEED-Story/story"


class SaveStoryFile(io.ComfyNode):
    """A story -> one file with everything in it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_SaveStoryFile",
            display_name="Save Story File",
            category=CATEGORY,
            description="Saves the whole story as one .seedstory file: captions, pictures, "
            "features, how each panel was made, and this workflow. Opened elsewhere it is the "
            "same story.",
            search_aliases=["export story", "share story", "seedstory file"],
            is_output_node=True,
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            inputs=[
                types.Story.Input("story", tooltip="Any story, painted or not."),
                io.String.Input(
                    "filename_prefix",
                    default="seedstory-files/story",
                    tooltip="Name in the output folder, with %date:yyyy-MM-dd% and the like.",
                ),
            ],
            outputs=[
                types.Story.Output(display_name="story", tooltip="The same story."),
                io.String.Output(display_name="path", tooltip="Where the file is."),
            ],
        )

    @classmethod
    def execute(cls, story: Story, filename_prefix: str) -> io.NodeOutput:
        made = with_workflow(story, host.workflow_here(cls.hidden))
        path = host.save_file(made, filename_prefix)
        return io.NodeOutput(story, str(path), ui=host.text_ui(str(path)))


class LoadStoryFile(io.ComfyNode):
    """A file that is or carries a story -> the story."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        files = host.carrier_choices()
        return host.schema(
            node_id="SeedStory_LoadStoryFile",
            display_name="Load Story File",
            category=CATEGORY,
            description="Loads the story from a .seedstory file, or from a PNG, PDF, EPUB, CBZ or "
            "HTML that was saved with the story inside. Drop the file on the node.",
            search_aliases=["import story", "open story file", "story from picture"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=files,
                    default=files[0],
                    tooltip="Files in the input folder. Drop one on the node to add it.",
                )
            ],
            outputs=[
                types.Story.Output(display_name="story", tooltip="The story as it was saved.")
            ],
        )

    @classmethod
    def validate_inputs(cls, file: str) -> bool | str:
        """Whatever is there by now, also what was added since the list was made."""
        try:
            host.carrier(file)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str:
        """Load again whenever the file has changed."""
        state = host.carrier(file).stat()
        return f"{file}:{state.st_mtime_ns}:{state.st_size}"

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        return io.NodeOutput(open_any(host.carrier(file)))


class SaveStoryImages(io.ComfyNode):
    """Pages or panels -> PNG files that carry the story and the workflow."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_SaveStoryImages",
            display_name="Save Story Images",
            category=CATEGORY,
            description="Saves pages or panels as PNG files with the story inside: drop one on "
            "Load Story File and the story returns, drop it on the canvas and the workflow does.",
            search_aliases=["save pages", "save image with story"],
            is_output_node=True,
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            inputs=[
                types.Story.Input("story", tooltip="The story that goes into the files."),
                io.Image.Input("images", tooltip="As from Story Page or Panels."),
                io.String.Input(
                    "filename_prefix",
                    default="seedstory-files/page",
                    tooltip="Name in the output folder, with %date:yyyy-MM-dd% and the like.",
                ),
                io.Combo.Input(
                    "carry",
                    options=[host.EVERY, host.FIRST, host.NONE],
                    default=host.EVERY,
                    tooltip="Which files the story goes into. A panel of the released weights "
                    "makes each of them megabytes larger.",
                ),
            ],
            outputs=[types.Story.Output(display_name="story", tooltip="The same story.")],
        )

    @classmethod
    def execute(
        cls, story: Story, images: Tensor, filename_prefix: str, carry: str
    ) -> io.NodeOutput:
        workflow = host.workflow_here(cls.hidden)
        made = with_workflow(story, workflow)
        shown = host.save_pictures(made, from_float(images), filename_prefix, carry, workflow)
        return io.NodeOutput(story, ui={"images": shown})


NODES: tuple[type[io.ComfyNode], ...] = (SaveStoryFile, LoadStoryFile, SaveStoryImages)
