"""Tell Futures: several stories from one beginning, told together."""

from __future__ import annotations

from collections.abc import Sequence

from comfy_api.latest import io

from ..seedstory_core.context import ContextPolicy
from ..seedstory_core.futures import check_apart, future_seed, futures_of, tell_futures
from ..seedstory_core.known_words import unknown_note
from ..seedstory_core.memory import Plan
from ..seedstory_core.sampling import Sampling
from ..seedstory_core.sampling import restore as restore_sampling
from ..seedstory_core.story import check_story
from ..seedstory_core.types import Story
from . import host, types
from .early import with_note
from .telling import (
    CATEGORY,
    MAX_PANELS,
    llm_input,
    panel_seed,
    seed_input,
    settings_inputs,
)
from .types import EngineHandle
from .values import context_of

MOST = 16


class TellFutures(io.ComfyNode):
    """A story -> several stories that begin with it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_TellFutures",
            display_name="Tell Futures",
            category=CATEGORY,
            description="Tells several ways in which a story could go on, all of them together: "
            "what they have in common is read once. Each is a story of its own, kept on disk "
            "panel by panel as <run>-future-1, -2 and so on.",
            search_aliases=["branches", "what if", "variations", "many stories"],
            has_intermediate_output=True,
            inputs=[
                types.Story.Input("story", tooltip="The story so far, which all futures share."),
                llm_input(),
                io.Int.Input("futures", default=3, min=1, max=MOST, tooltip="How many to tell."),
                io.Int.Input(
                    "panels",
                    default=4,
                    min=1,
                    max=MAX_PANELS,
                    tooltip="How many panels to tell in each. Fewer come where the model ends the "
                    "story.",
                ),
                seed_input(),
                io.String.Input(
                    "captions",
                    multiline=True,
                    default="",
                    tooltip="Empty: the model writes. Otherwise one caption a line, with which a "
                    "future of its own begins; the number of lines then counts, not 'futures'.",
                ),
                *settings_inputs(),
            ],
            outputs=[
                types.Story.Output(
                    display_name="stories",
                    is_output_list=True,
                    tooltip="One story for each future; the nodes behind run once for each.",
                ),
                io.String.Output(
                    display_name="texts",
                    is_output_list=True,
                    tooltip="The new captions of each future, one a line.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        story: Story,
        llm: EngineHandle,
        futures: int,
        panels: int,
        seed: int,
        captions: str,
        sampling: Sampling | None = None,
        context: ContextPolicy | None = None,
        memory: Plan | None = None,
    ) -> io.NodeOutput:
        check_story(story, llm.engine)
        given = first_captions(captions) or [()] * futures
        check_apart(len(given), sampling or world_sampling(llm), given)
        context = context_of(memory, context, len(given))
        with host.parking(llm.engine, memory):
            told = tell(story, llm, given, panels, seed, sampling, context)
        texts = [new_text(future, len(story)) for future in told]
        return io.NodeOutput(told, texts, ui=with_note(texts, unknown_note(llm.engine, captions)))


def first_captions(text: str) -> list[tuple[str, ...]]:
    """One caption a line, each the beginning of a future."""
    return [(line.strip(),) for line in text.splitlines() if line.strip()]


def world_sampling(llm: EngineHandle) -> Sampling:
    """How the world itself says words are chosen."""
    return restore_sampling(llm.world.defaults.get("sampling", {}))


def tell(
    story: Story,
    llm: EngineHandle,
    captions: Sequence[Sequence[str]],
    panels: int,
    seed: int,
    sampling: Sampling | None,
    context: ContextPolicy | None,
) -> list[Story]:
    """One future for each entry of ``captions``, every panel kept on disk at once."""
    return tell_futures(
        llm.engine,
        futures_of(story, len(captions)),
        captions,
        sampling,
        context,
        [panel_seed(future_seed(seed, number), story) for number in range(len(captions))],
        host.Reporter(),
        panels=panels,
        on_panel=lambda number, longer: host.keep_story(longer),
    )


def new_text(story: Story, before: int) -> str:
    """The captions behind the first ``before`` panels, and the closing words, one a line."""
    lines = [panel.caption for panel in story.panels[before:]]
    return "\n".join([*lines, *([story.closing] if story.closing else [])])


NODES: tuple[type[io.ComfyNode], ...] = (TellFutures,)
