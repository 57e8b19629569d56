"""Memory Plan: what a run needs, before it starts."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..seedstory_core.context import ContextPolicy
from ..seedstory_core.memory import Run, render
from . import host, types
from .conditioning import panel_size, sizes
from .settings import CATEGORY
from .types import EngineHandle


class MemoryPlan(io.ComfyNode):
    """An LLM and a preset -> a table, and a plan that the telling and painting nodes keep to."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        presets = host.preset_names()
        return host.schema(
            node_id="SeedStory_MemoryPlan",
            display_name="Memory Plan",
            category=CATEGORY,
            description="What telling and painting a story needs of the card's memory, phase by "
            "phase, before anything is loaded. Connected to the telling and painting nodes, it "
            "stops a run that would not fit before it starts.",
            search_aliases=["vram", "out of memory", "memory budget", "low vram"],
            has_intermediate_output=True,
            inputs=[
                types.Llm.Input("llm", tooltip="From Load World."),
                io.Combo.Input(
                    "preset",
                    options=presets,
                    default=presets[0],
                    tooltip="auto: what is free on the card now. Otherwise the size of the card "
                    "to plan for; on a larger card the rest is left to others.",
                ),
                io.Boolean.Input(
                    "paint",
                    default=True,
                    tooltip="Whether the story will be painted too.",
                ),
                *sizes(),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="What it will be painted with. Not connected: the world's own "
                    "painter, or SDXL's sizes.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="What decodes the pictures. Not connected: the world's own, or SDXL's.",
                ),
                types.Context.Input(
                    "context",
                    optional=True,
                    tooltip="Which earlier panels are read. Not connected: as the world says, or "
                    "fewer panels where those would not fit.",
                ),
                io.Int.Input(
                    "stories",
                    default=1,
                    min=1,
                    max=64,
                    optional=True,
                    tooltip="Told together, as by Tell Futures: each keeps rows of its own.",
                ),
                io.Int.Input(
                    "at_once",
                    default=1,
                    min=1,
                    max=64,
                    optional=True,
                    tooltip="Panels painted together, as in Paint Story.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="table", tooltip="The plan, to be read."),
                types.Memory.Output(
                    display_name="memory", tooltip="For the telling nodes and Paint Story."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        llm: EngineHandle,
        preset: str,
        paint: bool,
        width: int,
        height: int,
        model: Any = None,
        vae: Any = None,
        context: ContextPolicy | None = None,
        stories: int = 1,
        at_once: int = 1,
    ) -> io.NodeOutput:
        size = panel_size(llm, width, height)
        how = {"paint": paint, "size": size, "stories": stories, "pictures": at_once}
        run = Run(context=context, **how) if context is not None else None
        plan = host.planned(llm.engine, llm.world, run, preset, model, vae, **how)
        return io.NodeOutput(render(plan), plan, ui=host.text_ui(render(plan)))


NODES: tuple[type[io.ComfyNode], ...] = (MemoryPlan,)
