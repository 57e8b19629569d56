"""Tell Panel, Illustrate Caption, Tell Story: a longer story, kept on disk panel by panel."""

from __future__ import annotations

from collections.abc import Sequence

from comfy_api.latest import io

from ..seedstory_core.context import ContextPolicy
from ..seedstory_core.errors import SeedStoryError
from ..seedstory_core.known_words import unknown_note
from ..seedstory_core.memory import Plan
from ..seedstory_core.sampling import Sampling
from ..seedstory_core.story import check_story
from ..seedstory_core.types import Story
from . import host, types
from .early import STORY, late_story, with_note
from .settings import MAX_SEED
from .types import EngineHandle
from .values import context_of, features_at

CATEGORY = "SEED-Story/tell"
MAX_PANELS = 1000
SEED_TIP = (
    "Panel number i uses seed + i, so telling one by one gives the same story as all at once. "
)
SEED_TIP += "Plays a part only when Story Sampling draws words (temperature above 0)."


def settings_inputs() -> list[io.Input]:
    """The optional inputs that the telling nodes share."""
    return [
        types.Sampling.Input(
            "sampling",
            optional=True,
            tooltip="How words are chosen. Not connected: as the world says, else the likeliest "
            "word.",
        ),
        types.Context.Input(
            "context",
            optional=True,
            tooltip="Which earlier panels are read. Not connected: as the world says, else the "
            "newest 8.",
        ),
        types.Memory.Input(
            "memory",
            optional=True,
            tooltip="From Memory Plan: a run that would not fit stops before it starts. Not "
            "connected: it is tried.",
        ),
    ]


def seed_input() -> io.Input:
    return io.Int.Input(
        "seed", default=0, min=0, max=MAX_SEED, control_after_generate=True, tooltip=SEED_TIP
    )


def _reference() -> io.Input:
    return io.Boolean.Input(
        "reference",
        default=False,
        tooltip="Keep quirks of the published scripts that are mended otherwise.",
    )


def llm_input() -> io.Input:
    return types.Llm.Input("llm", tooltip="From Load World: the world that told the story so far.")


def panel_seed(seed: int, story: Story) -> int:
    """Seed of the panel that comes next."""
    return (seed + len(story)) & MAX_SEED


def tell(
    story: Story, llm: EngineHandle, reporter: host.Reporter, caption: str | None, **how: object
) -> Story:
    """One more panel, kept on disk at once; an ended story comes back as it is."""
    check_story(story, llm.engine)
    if story.ended:
        return story
    longer = llm.engine.tell(story, caption, progress=reporter, **how)  # type: ignore[arg-type]
    host.keep_story(longer)
    reporter.next_stage()
    return longer


def silent(story: Story, longer: Story) -> bool:
    """Whether what hangs on the new panel is left out, since the story had ended before.

    Not where the host keeps no results: Attach Image then needs a picture to hand the story on.
    """
    return len(longer) == len(story) and host.keeps_results()


class TellPanel(io.ComfyNode):
    """A story -> the story and one more panel."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_TellPanel",
            display_name="Tell Panel",
            category=CATEGORY,
            description="The model tells the next panel: its caption and the features of its "
            "picture. An ended story passes through unchanged.",
            search_aliases=["next panel", "continue story"],
            has_intermediate_output=True,
            inputs=[
                types.Story.Input("story", tooltip="The story so far."),
                llm_input(),
                seed_input(),
                _reference(),
                *settings_inputs(),
            ],
            outputs=[
                types.Story.Output(display_name="story", tooltip="The story with the new panel."),
                io.String.Output(display_name="caption", tooltip="The new panel's caption."),
                types.Features.Output(
                    display_name="features", tooltip="What the new panel's picture is painted from."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        story: Story,
        llm: EngineHandle,
        seed: int,
        reference: bool,
        sampling: Sampling | None = None,
        context: ContextPolicy | None = None,
        memory: Plan | None = None,
    ) -> io.NodeOutput:
        how = {"sampling": sampling, "context": context_of(memory, context), "reference": reference}
        with host.parking(llm.engine, memory):
            longer = tell(story, llm, host.Reporter(), None, seed=panel_seed(seed, story), **how)
        if silent(story, longer):
            return io.NodeOutput(
                longer, host.nothing(), host.nothing(), ui=host.text_ui(longer.closing or "")
            )
        panel = longer.panels[-1]
        features = features_at(longer, [-1])
        return io.NodeOutput(longer, panel.caption, features, ui=host.text_ui(panel.caption))


def check_caption(caption: str) -> None:
    """There are words to illustrate."""
    if not caption.strip():
        raise SeedStoryError("There is no caption to illustrate: fill it in.")


class IllustrateCaption(io.ComfyNode):
    """A story and a caption -> the story and one more panel with that caption."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_IllustrateCaption",
            display_name="Illustrate Caption",
            category=CATEGORY,
            description="You write the next caption; the model makes the features of its picture.",
            search_aliases=["given caption", "visualize story"],
            has_intermediate_output=True,
            inputs=[
                late_story("The story so far."),
                llm_input(),
                io.String.Input(
                    "caption",
                    multiline=True,
                    default="Mila finds a kite.",
                    tooltip="The new panel's caption, taken as it is.",
                ),
                _reference(),
                *settings_inputs()[1:],
            ],
            outputs=[
                types.Story.Output(display_name="story", tooltip="The story with the new panel."),
                types.Features.Output(
                    display_name="features", tooltip="What the new panel's picture is painted from."
                ),
            ],
        )

    @classmethod
    def check_lazy_status(cls, caption: str, **_others: object) -> list[str]:
        check_caption(caption)
        return STORY

    @classmethod
    def execute(
        cls,
        story: Story,
        llm: EngineHandle,
        caption: str,
        reference: bool,
        context: ContextPolicy | None = None,
        memory: Plan | None = None,
    ) -> io.NodeOutput:
        check_caption(caption)
        how = {"context": context_of(memory, context), "reference": reference}
        with host.parking(llm.engine, memory):
            longer = tell(story, llm, host.Reporter(), caption, **how)
        if silent(story, longer):
            return io.NodeOutput(longer, host.nothing(), ui=host.text_ui(longer.closing or ""))
        shown = with_note([caption], unknown_note(llm.engine, caption))
        return io.NodeOutput(longer, features_at(longer, [-1]), ui=shown)


class TellStory(io.ComfyNode):
    """A story -> the story and several more panels."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_TellStory",
            display_name="Tell Story",
            category=CATEGORY,
            description="Tells several panels at once, without painting: text and features only, "
            "so one big model is in memory at a time. Every panel is kept on disk as soon as it "
            "is told.",
            search_aliases=["whole story", "continue story"],
            has_intermediate_output=True,
            inputs=[
                types.Story.Input("story", tooltip="The story so far."),
                llm_input(),
                io.Int.Input(
                    "panels",
                    default=4,
                    min=1,
                    max=MAX_PANELS,
                    tooltip="How many panels to tell. Fewer come when the model ends the story.",
                ),
                seed_input(),
                io.String.Input(
                    "captions",
                    multiline=True,
                    default="",
                    tooltip="Empty: the model writes. Otherwise one caption a line, each "
                    "illustrated as it is; the number of lines then counts, not 'panels'.",
                ),
                _reference(),
                *settings_inputs(),
            ],
            outputs=[
                types.Story.Output(display_name="story", tooltip="The story with the new panels."),
                io.String.Output(
                    display_name="captions",
                    is_output_list=True,
                    tooltip="Captions of the new panels.",
                ),
                types.Features.Output(
                    display_name="features", tooltip="Features of the new panels, one row each."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        story: Story,
        llm: EngineHandle,
        panels: int,
        seed: int,
        captions: str,
        reference: bool,
        sampling: Sampling | None = None,
        context: ContextPolicy | None = None,
        memory: Plan | None = None,
    ) -> io.NodeOutput:
        given = [line.strip() for line in captions.splitlines() if line.strip()] or [None] * panels
        how = {"sampling": sampling, "context": context_of(memory, context), "reference": reference}
        longer = tell_all(story, llm, given, seed, how, memory)
        new = longer.panels[len(story) :]
        texts = [panel.caption for panel in new]
        shown = with_note(texts, longer.closing or "", unknown_note(llm.engine, captions))
        features = features_at(longer, range(len(story), len(longer))) if new else host.nothing()
        return io.NodeOutput(longer, texts or [host.nothing()], features, ui=shown)


def tell_all(
    story: Story,
    llm: EngineHandle,
    captions: Sequence[str | None],
    seed: int,
    how: dict,
    memory: Plan | None = None,
) -> Story:
    """One panel for each entry of ``captions``; None where the model writes."""
    if len(captions) > MAX_PANELS:
        raise SeedStoryError(f"At most {MAX_PANELS} captions at once, got {len(captions)}.")
    reporter = host.Reporter(len(captions))
    with host.parking(llm.engine, memory):
        for caption in captions:
            story = tell(story, llm, reporter, caption, seed=panel_seed(seed, story), **how)
    return story


NODES: tuple[type[io.ComfyNode], ...] = (
    TellPanel,
    IllustrateCaption,
    TellStory,
)
