"""Attach Image and Panels: pictures into a story, and everything out of it."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..seedstory_core.errors import SeedStoryError
from ..seedstory_core.images import to_float
from ..seedstory_core.story import attach_image, check_index, check_story
from ..seedstory_core.types import Story
from . import host, types
from .types import EngineHandle
from .values import features_at, one_picture, told

CATEGORY = "SEED-Story/story"
NEWEST = -1


def attach_inputs(raw: dict[str, bool] | None = None) -> list[io.Input]:
    """Inputs of both halves of Attach Image; ``raw`` marks a connection that is read as such."""
    return [
        types.Story.Input("story", tooltip="The story with the panel."),
        io.Image.Input(
            "image", lazy=bool(raw), extra_dict=raw, tooltip="One picture, as from VAE Decode."
        ),
        io.Int.Input(
            "index",
            default=NEWEST,
            min=-1000,
            max=1000,
            tooltip="Which panel: 0 is the opening, -1 the newest. With -1 an ended story whose "
            "newest panel is painted stays as it is.",
        ),
        io.Boolean.Input(
            "feed_back",
            default=False,
            tooltip="On: the picture is read again and later panels follow it instead of what the "
            "model imagined. Needs 'vision'.",
        ),
        types.Vision.Input("vision", optional=True, tooltip="From Load World; only for feed_back."),
    ]


class AttachImage(io.ComfyNode):
    """A picture becomes the picture of a panel.

    The picture is asked for only where it is needed: in a loop whose story has ended, the nodes
    that would make one are left out, and what they hand on must not silence the story. So the
    picture's connection is read raw, and `AttachPicture` takes over where it counts.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_AttachImage",
            display_name="Attach Image",
            category=CATEGORY,
            description="Makes a picture the picture of a panel, and keeps it on disk. In a loop "
            "whose story has ended, nothing is painted any more.",
            search_aliases=["commit panel", "set panel image"],
            enable_expand=True,
            hidden=[io.Hidden.dynprompt, io.Hidden.unique_id],
            inputs=attach_inputs({"rawLink": True} if host.keeps_results() else None),
            outputs=[
                types.Story.Output(display_name="story", tooltip="The story with the picture.")
            ],
        )

    @classmethod
    def check_lazy_status(cls, **_inputs: object) -> list[str]:
        """`AttachPicture` asks for the picture."""
        return []

    @classmethod
    def execute(cls, story: Story, index: int, **others: Any) -> io.NodeOutput:
        check_no_list()
        if is_over(story, index):
            return io.NodeOutput(story)
        if not host.keeps_results():
            return AttachPicture.execute(story=story, index=index, **others)
        name = f"{cls.hidden.unique_id}.attach"
        inputs = cls.hidden.dynprompt.get_node(cls.hidden.unique_id)["inputs"]
        clone = {"class_type": "SeedStory_AttachPicture", "inputs": dict(inputs)}
        return io.NodeOutput([name, 0], expand={name: clone})


class AttachPicture(io.ComfyNode):
    """The part of `AttachImage` that has the picture; not for graphs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_AttachPicture",
            display_name="Attach Picture (inner part)",
            category=CATEGORY,
            description="What Attach Image becomes while it runs. Use Attach Image instead.",
            is_dev_only=True,
            is_experimental=True,
            inputs=attach_inputs(),
            outputs=[
                types.Story.Output(display_name="story", tooltip="The story with the picture.")
            ],
        )

    @classmethod
    def execute(
        cls,
        story: Story,
        image: Tensor,
        index: int,
        feed_back: bool,
        vision: EngineHandle | None = None,
    ) -> io.NodeOutput:
        check_no_list()
        index, picture = check_index(story, index), one_picture(image)
        if feed_back:
            story = commit(story, index, picture, vision)
        else:
            story = attach_image(story, index, picture, {"by": "Attach Image"})
        host.keep_story(story)
        return io.NodeOutput(story)


def check_no_list() -> None:
    """Of a list, all stories but one would be lost on the way through Attach Image."""
    if host.further_item():
        raise SeedStoryError(
            "Attach Image takes one picture for one story, but a list of several came. Use one "
            "Attach Image for each panel, each with its own 'index'."
        )


def is_over(story: Story, index: int) -> bool:
    """Whether the newest panel was asked for and the ended story has it painted already."""
    return index == NEWEST and story.ended and story.panels[NEWEST].image is not None


def commit(story: Story, index: int, picture: Tensor, vision: EngineHandle | None) -> Story:
    """The engine re-reads ``picture``, so that later panels follow it."""
    if vision is None:
        raise SeedStoryError("feed_back reads the picture again: connect 'vision' from Load World.")
    check_story(story, vision.engine)
    return vision.engine.commit(story, index, picture, feed_back=True)


class Panels(io.ComfyNode):
    """A story -> its pictures, captions and features."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_Panels",
            display_name="Panels",
            category=CATEGORY,
            description="Takes a story apart: the pictures and captions of its panels as lists, "
            "the features as one batch.",
            search_aliases=["split story", "story to images"],
            inputs=[
                types.Story.Input("story", tooltip="Any story, painted or not."),
                io.Boolean.Input(
                    "with_opening",
                    default=False,
                    tooltip="Whether panel 0, which you gave, is among them.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="images",
                    is_output_list=True,
                    tooltip="The pictures of painted panels, each in its own size.",
                ),
                io.String.Output(
                    display_name="captions", is_output_list=True, tooltip="One for each panel."
                ),
                types.Features.Output(display_name="features", tooltip="One row for each panel."),
                io.Int.Output(display_name="count", tooltip="Number of panels."),
            ],
        )

    @classmethod
    def execute(cls, story: Story, with_opening: bool) -> io.NodeOutput:
        indices = tuple(range(len(story))) if with_opening else told(story)
        chosen = [story.panels[i] for i in indices]
        images = [to_float([panel.image]) for panel in chosen if panel.image is not None]
        captions = [panel.caption for panel in chosen]
        features = features_at(story, indices) if indices else host.nothing()
        blank = [host.nothing()]
        return io.NodeOutput(images or blank, captions or blank, features, len(chosen))


NODES: tuple[type[io.ComfyNode], ...] = (AttachImage, AttachPicture, Panels)
