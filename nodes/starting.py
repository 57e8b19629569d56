"""Encode Image and Start Story: pictures into features, a picture and a sentence into a story."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..seedstory_core.errors import SeedStoryError
from ..seedstory_core.images import from_float
from ..seedstory_core.known_words import unknown_note
from ..seedstory_core.types import Opening
from . import host, types
from .early import with_note
from .types import EngineHandle
from .values import one_picture

CATEGORY = "SEED-Story/tell"


class EncodeImage(io.ComfyNode):
    """Pictures -> features."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_EncodeImage",
            display_name="Encode Image",
            category=CATEGORY,
            description="Turns pictures into the features that the story model reads and paints "
            "from.",
            search_aliases=["image to features", "visual tokenizer"],
            inputs=[
                types.Vision.Input("vision", tooltip="From Load World."),
                io.Image.Input(
                    "image", tooltip="One picture or a batch; any size, squashed to a square."
                ),
            ],
            outputs=[
                types.Features.Output(display_name="features", tooltip="One row for each picture.")
            ],
        )

    @classmethod
    def execute(cls, vision: EngineHandle, image: Tensor) -> io.NodeOutput:
        host.interruptible()
        return io.NodeOutput(vision.engine.encode(from_float(image)))


class StartStory(io.ComfyNode):
    """A picture and a sentence -> a story of one panel."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_StartStory",
            display_name="Start Story",
            category=CATEGORY,
            description="Begins a story with a picture and a sentence. They become panel 0.",
            search_aliases=["new story", "opening"],
            has_intermediate_output=True,
            inputs=[
                types.Vision.Input("vision", tooltip="From Load World: the world to tell in."),
                io.String.Input(
                    "text",
                    multiline=True,
                    default="One sunny day, Mila is in the meadow.",
                    tooltip="The first sentence, as a caption of the picture.",
                ),
                io.String.Input(
                    "run",
                    default="story",
                    tooltip="Name of the story's folder in output/seedstory. Another story of "
                    "the same name gets a folder of its own.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The first picture. Any size; most worlds need one.",
                ),
            ],
            outputs=[types.Story.Output(display_name="story", tooltip="A story of one panel.")],
        )

    @classmethod
    def execute(
        cls, vision: EngineHandle, text: str, run: str, image: Tensor | None = None
    ) -> io.NodeOutput:
        host.interruptible()
        if not text.strip():
            raise SeedStoryError("The story needs a first sentence: fill in the text.")
        picture = one_picture(image) if image is not None else None
        story = vision.engine.start(Opening(text, picture, run))
        host.keep_story(story)
        return io.NodeOutput(story, ui=with_note([], unknown_note(vision.engine, text)))


NODES: tuple[type[io.ComfyNode], ...] = (EncodeImage, StartStory)
