"""Best Take, Attach Best Image: one of several tellings or pictures; the others are kept too."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..seedstory_core.context import ContextPolicy
from ..seedstory_core.images import from_float
from ..seedstory_core.memory import Plan
from ..seedstory_core.operations import RULES, Takes, attach_best, best_of
from ..seedstory_core.sampling import Sampling
from ..seedstory_core.story import check_index
from ..seedstory_core.types import Story
from . import host, types
from .editing import CATEGORY, MOST, changed_outputs, seed_at
from .futures import world_sampling
from .telling import llm_input, seed_input, settings_inputs
from .types import EngineHandle
from .values import context_of, features_at

MOST_TAKES = 16
BEST = "\u2605"  # a star


class BestTake(io.ComfyNode):
    """A panel told several times, the best one in the story."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_BestTake",
            display_name="Best Take",
            category=CATEGORY,
            description="Tells one panel several times at once, by several seeds, and takes the "
            "best: by a rule, or the one you pick. The other takes are kept on disk as "
            "<run>-take-2 and so on. The other panels stay as they are.",
            search_aliases=["best of n", "alternatives", "variations of a panel"],
            has_intermediate_output=True,
            inputs=[
                types.Story.Input("story", tooltip="The story to tell in."),
                llm_input(),
                io.Int.Input(
                    "panel",
                    default=-1,
                    min=-1,
                    max=MOST,
                    tooltip="Which panel to tell anew, 1 or more; -1: a new one behind the newest.",
                ),
                io.Int.Input(
                    "takes", default=3, min=1, max=MOST_TAKES, tooltip="How often it is told."
                ),
                io.Combo.Input(
                    "rule",
                    options=list(RULES),
                    default=next(iter(RULES)),
                    tooltip="What is best. New words: pairs of words that no caption before has. "
                    "Like the last picture: features compared with those of the panel before.",
                ),
                io.Int.Input(
                    "pick",
                    default=0,
                    min=0,
                    max=MOST_TAKES,
                    tooltip="0: the rule says. Otherwise the number of the take to use; run again "
                    "with the same seed and the takes are the same.",
                ),
                seed_input(),
                *settings_inputs(),
            ],
            outputs=[
                *changed_outputs(),
                io.String.Output(
                    display_name="captions", tooltip="Captions of all takes, one a line."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        story: Story,
        llm: EngineHandle,
        panel: int,
        takes: int,
        rule: str,
        pick: int,
        seed: int,
        sampling: Sampling | None = None,
        context: ContextPolicy | None = None,
        memory: Plan | None = None,
    ) -> io.NodeOutput:
        index = len(story) if panel == -1 else panel
        sampling = sampling or (world_sampling(llm) if index == len(story) else None)
        how: dict[str, Any] = {"sampling": sampling, "context": context_of(memory, context)}
        how |= {"rule": rule, "pick": pick - 1 if pick else None, "progress": host.Reporter()}
        with host.parking(llm.engine, memory):
            made = best_of(llm.engine, story, index, takes, seed_at(seed, story, index), **how)
        return shown(made, index)


def shown(made: Takes, index: int) -> io.NodeOutput:
    """All takes kept, the best one handed on, their captions shown with the best one marked."""
    for story in (*made.others, made.story):
        host.keep_story(story)
    lines = [
        f"{number + 1}{BEST if number == made.best else ' '} {caption}"
        for number, caption in enumerate(made.captions)
    ]
    return io.NodeOutput(
        made.story,
        made.story.panels[index].caption,
        features_at(made.story, [index]),
        "\n".join(made.captions),
        ui=host.text_ui(*lines),
    )


class AttachBestImage(io.ComfyNode):
    """One of several pictures becomes a panel's; the others stay beside it on disk."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_AttachBestImage",
            display_name="Attach Best Image",
            category=CATEGORY,
            description="Makes one of a batch of pictures the picture of a panel. The others are "
            "kept beside it in the story's folder.",
            search_aliases=["pick image", "best of n", "choose picture"],
            inputs=[
                types.Story.Input("story", tooltip="The story with the panel."),
                io.Image.Input("images", tooltip="Pictures of one panel, as one batch."),
                io.Int.Input(
                    "index",
                    default=-1,
                    min=-MOST,
                    max=MOST,
                    tooltip="Which panel: 0 is the opening, -1 the newest.",
                ),
                io.Int.Input(
                    "pick", default=1, min=1, max=4096, tooltip="Which of the pictures, from 1."
                ),
            ],
            outputs=[
                types.Story.Output(display_name="story", tooltip="The story with the picture."),
                io.Image.Output(display_name="image", tooltip="The picture that was picked."),
            ],
        )

    @classmethod
    def execute(cls, story: Story, images: Tensor, index: int, pick: int) -> io.NodeOutput:
        index = check_index(story, index)
        pictures = from_float(images)
        for painted in attach_best(story, index, pictures, pick - 1, {"by": "Attach Best Image"}):
            host.keep_story(painted)
            story = painted
        return io.NodeOutput(story, images[pick - 1 : pick])


NODES: tuple[type[io.ComfyNode], ...] = (BestTake, AttachBestImage)
