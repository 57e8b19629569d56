"""Edit Caption, Re-roll Panel, Insert Panel: one panel changed by the model, the rest as it is."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..seedstory_core import operations
from ..seedstory_core.context import ContextPolicy
from ..seedstory_core.errors import SeedStoryError
from ..seedstory_core.known_words import unknown_note
from ..seedstory_core.memory import Plan
from ..seedstory_core.sampling import Sampling
from ..seedstory_core.story import check_index
from ..seedstory_core.types import Story
from . import host, types
from .early import STORY, late_story, with_note
from .settings import MAX_SEED
from .telling import llm_input, seed_input, settings_inputs
from .types import EngineHandle
from .values import context_of, features_at

CATEGORY = "SEED-Story/edit"
MOST = 10_000  # panels of a story
BOTH, TEXT, FEATURES = "text and features", "text", "features"
REROLLS = {
    BOTH: operations.reroll_panel,
    TEXT: operations.reroll_text,
    FEATURES: operations.reroll_features,
}


def panel_input(tip: str, default: int = -1) -> io.Input:
    return io.Int.Input("panel", default=default, min=-MOST, max=MOST, tooltip=tip)


def later_input() -> io.Input:
    return io.Combo.Input(
        "later",
        options=list(operations.LATER),
        default=operations.KEEP,
        tooltip="keep: the panels behind it stay as they are, to the bit. tell: they are told "
        "anew, each with its own seed, and have no pictures yet.",
    )


def changing(
    story: Story,
    panel: int,
    later: str,
    sampling: Sampling | None,
    context: ContextPolicy | None,
    memory: Plan | None,
) -> dict[str, Any]:
    """How the library is to change a panel: every panel that is told anew is kept at once."""
    anew = len(story) - check_index(story, panel) if later == operations.TELL else 1
    reporter = host.Reporter(anew)

    def kept(longer: Story) -> None:
        host.keep_story(longer)
        reporter.next_stage()

    how = {"sampling": sampling, "context": context_of(memory, context), "later": later}
    return how | {"progress": reporter, "on_panel": kept}


def changed(story: Story, panel: int, *, before: int, note: str = "") -> io.NodeOutput:
    """The story, kept; the panel's caption and features, and what is new shown in the node."""
    host.keep_story(story)
    index = check_index(story, panel) if panel >= 0 else panel + before
    caption = story.panels[index].caption
    return io.NodeOutput(story, caption, features_at(story, [index]), ui=with_note([caption], note))


def changed_outputs() -> list[io.Output]:
    return [
        types.Story.Output(
            display_name="story",
            tooltip="The story with the changed panel; kept in a folder of its own where it tells "
            "something else.",
        ),
        io.String.Output(display_name="caption", tooltip="The panel's caption."),
        types.Features.Output(
            display_name="features", tooltip="What the panel's picture is painted from."
        ),
    ]


class EditCaption(io.ComfyNode):
    """A panel gets another caption, and the features to it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_EditCaption",
            display_name="Edit Caption",
            category=CATEGORY,
            description="Gives a panel another caption; the model makes the features of its "
            "picture anew. All other panels stay as they are, or the later ones are told anew. "
            "Paint Story then paints what has no picture.",
            search_aliases=["change panel", "rewrite caption"],
            has_intermediate_output=True,
            inputs=[
                late_story("The story with the panel."),
                llm_input(),
                panel_input("Which panel: 0 is the opening, -1 the newest. The opening keeps its "
                            "picture."),
                io.String.Input(
                    "caption",
                    multiline=True,
                    default="Mila finds a kite.",
                    tooltip="The panel's new caption, taken as it is.",
                ),
                later_input(),
                *settings_inputs(),
            ],
            outputs=changed_outputs(),
        )  # fmt: skip

    @classmethod
    def check_lazy_status(cls, caption: str, **_others: object) -> list[str]:
        check_words(caption)
        return STORY

    @classmethod
    def execute(
        cls,
        story: Story,
        llm: EngineHandle,
        panel: int,
        caption: str,
        later: str,
        sampling: Sampling | None = None,
        context: ContextPolicy | None = None,
        memory: Plan | None = None,
    ) -> io.NodeOutput:
        check_words(caption)
        how = changing(story, panel, later, sampling, context, memory)
        with host.parking(llm.engine, memory):
            edited = operations.edit_caption(llm.engine, story, panel, caption, **how)
        note = unknown_note(llm.engine, caption)
        return changed(edited, panel, before=len(story), note=note)


def check_words(caption: str) -> None:
    """There are words for the panel."""
    if not caption.strip():
        raise SeedStoryError("There is no caption to edit in: fill it in.")


class RerollPanel(io.ComfyNode):
    """A panel's words, its features, or both are made anew."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_RerollPanel",
            display_name="Re-roll Panel",
            category=CATEGORY,
            description="Makes one panel anew by another seed: its words, the features of its "
            "picture, or both. All other panels stay as they are, or the later ones are told "
            "anew. For another picture of the same features use Paint Story with 'panels'.",
            search_aliases=["regenerate panel", "another seed", "variation"],
            has_intermediate_output=True,
            inputs=[
                types.Story.Input("story", tooltip="The story with the panel."),
                llm_input(),
                panel_input("Which panel: 1 is the first told one, -1 the newest. The opening is "
                            "given, so it cannot be re-rolled."),
                io.Combo.Input(
                    "what",
                    options=list(REROLLS),
                    default=BOTH,
                    tooltip="text: other words, features and picture stay. features: the words "
                    "stay, the picture is to be painted anew. text and features: the whole panel.",
                ),
                seed_input(),
                io.Float.Input(
                    "strength",
                    default=0.3,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    round=0.01,
                    tooltip="Only for 'features': how far the seed moves them. 0: as the model "
                    "makes them. 1: as far as they differ among themselves.",
                ),
                later_input(),
                *settings_inputs(),
            ],
            outputs=changed_outputs(),
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        story: Story,
        llm: EngineHandle,
        panel: int,
        what: str,
        seed: int,
        strength: float,
        later: str,
        sampling: Sampling | None = None,
        context: ContextPolicy | None = None,
        memory: Plan | None = None,
    ) -> io.NodeOutput:
        how = changing(story, panel, later, sampling, context, memory)
        act = REROLLS[what]
        how |= {"strength": strength} if what == FEATURES else {}
        with host.parking(llm.engine, memory):
            rolled = act(llm.engine, story, panel, seed_at(seed, story, panel), **how)
        return changed(rolled, panel, before=len(story))


def seed_at(seed: int, story: Story, panel: int) -> int:
    """The seed of a panel, by the rule of the telling nodes."""
    return (seed + (panel + len(story) if panel < 0 else panel)) & MAX_SEED


class InsertPanel(io.ComfyNode):
    """A new panel between two others."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_InsertPanel",
            display_name="Insert Panel",
            category=CATEGORY,
            description="Tells a new panel between two others: it follows the panels before it. "
            "Those behind it stay as they are, or are told anew.",
            search_aliases=["add panel", "new panel between"],
            has_intermediate_output=True,
            inputs=[
                types.Story.Input("story", tooltip="The story to insert into."),
                llm_input(),
                io.Int.Input(
                    "panel",
                    default=1,
                    min=1,
                    max=MOST,
                    tooltip="The number that the new panel gets; the one there, and all behind it, "
                    "move on by one.",
                ),
                io.String.Input(
                    "caption",
                    multiline=True,
                    default="",
                    tooltip="The new panel's caption, taken as it is. Empty: the model writes it.",
                ),
                seed_input(),
                later_input(),
                *settings_inputs(),
            ],
            outputs=changed_outputs(),
        )

    @classmethod
    def execute(
        cls,
        story: Story,
        llm: EngineHandle,
        panel: int,
        caption: str,
        seed: int,
        later: str,
        sampling: Sampling | None = None,
        context: ContextPolicy | None = None,
        memory: Plan | None = None,
    ) -> io.NodeOutput:
        how = changing(story, min(panel, len(story) - 1), later, sampling, context, memory)
        seed = seed_at(seed, story, panel)
        with host.parking(llm.engine, memory):
            longer = operations.insert_told(
                llm.engine, story, panel, caption.strip() or None, seed, **how
            )
        note = unknown_note(llm.engine, caption)
        return changed(longer, panel, before=len(story), note=note)


NODES: tuple[type[io.ComfyNode], ...] = (EditCaption, RerollPanel, InsertPanel)
