"""Paint Story: every panel through ComfyUI's own samplers, live and kept at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..seedstory_core.errors import SeedStoryError
from ..seedstory_core.images import to_float
from ..seedstory_core.memory import Plan
from ..seedstory_core.operations import (
    check_paintable,
    check_panels,
    panels_there,
    repainted,
)
from ..seedstory_core.painter.batches import batches, joined
from ..seedstory_core.story import check_story
from ..seedstory_core.types import Conditioning, Json, PaintSettings, Story
from . import host, types
from .conditioning import CATEGORY, panel_size, sizes
from .early import STORY, check_painter, late_story, openings, with_note
from .settings import MAX_SEED, world_scheduler
from .types import EngineHandle
from .values import told


class PaintStory(io.ComfyNode):
    """A told story -> the same story with pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_PaintStory",
            display_name="Paint Story",
            category=CATEGORY,
            description="Paints the panels one after the other with ComfyUI's samplers, shows "
            "each while it grows, and keeps it on disk as soon as it is finished.",
            search_aliases=["render story", "ksampler story"],
            has_intermediate_output=True,
            inputs=[
                late_story("A story from the telling nodes or Load Story."),
                io.Model.Input(
                    "model", tooltip="From Apply De-tokenizer or Load World Painter; LoRAs welcome."
                ),
                io.Vae.Input(
                    "vae", tooltip="SDXL's VAE, or the world's own from Load World Painter."
                ),
                types.Detokenizer.Input(
                    "detokenizer", tooltip="From Load World: the world that told the story."
                ),
                io.Int.Input(
                    "steps",
                    default=0,
                    min=0,
                    max=1000,
                    tooltip="Sampling steps for each panel. 0: the world's own steps, cfg and "
                    "scheduler. Plays no part when SIGMAS are connected.",
                ),
                io.Float.Input(
                    "cfg",
                    default=7.5,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    tooltip="How strongly pictures follow the features. The reference uses 7.5. "
                    "With steps 0, the world's own holds.",
                ),
                io.Combo.Input(
                    "sampler_name",
                    options=host.sampler_names(),
                    default="euler",
                    tooltip="The sampling method. The reference uses euler.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=host.scheduler_names(),
                    default="normal",
                    tooltip="The noise schedule. Plays no part when SIGMAS are connected, or with "
                    "steps 0.",
                ),
                io.Int.Input(
                    "seed",
                    default=42,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="Seed of the noise.",
                ),
                io.Boolean.Input(
                    "same_noise",
                    default=True,
                    tooltip="On: every panel starts from one noise, as in the reference, which "
                    "keeps them alike. Off: panel i uses seed + i.",
                ),
                io.Boolean.Input(
                    "repaint",
                    default=False,
                    tooltip="Off: only panels without a picture. On: all told panels; earlier "
                    "pictures are kept beside the new ones on disk.",
                ),
                *sizes(),
                io.Sigmas.Input(
                    "sigmas",
                    optional=True,
                    tooltip="Own noise levels, as from Reference Sigmas; the noise is then "
                    "scaled as diffusers does.",
                ),
                types.Memory.Input(
                    "memory",
                    optional=True,
                    tooltip="From Memory Plan: a run that would not fit stops before it starts, "
                    "and pictures are decoded in tiles where the plan says so.",
                ),
                io.Int.Input(
                    "at_once",
                    default=1,
                    min=0,
                    max=64,
                    optional=True,
                    tooltip="Panels painted together, which pays for small pictures; the pictures "
                    "stay the same. 0: as many as are worth it and fit. Samplers that draw noise "
                    "on the way, or choose their own steps, always paint one by one.",
                ),
                io.String.Input(
                    "panels",
                    default="",
                    optional=True,
                    tooltip="Empty: as 'repaint' says. Otherwise exactly these are painted anew: "
                    "numbers and ranges, as in 2, 4-6; -1 is the newest. What the story does not "
                    "have is left out. The LLM is not needed.",
                ),
            ],
            outputs=[
                types.Story.Output(display_name="story", tooltip="The painted story."),
                io.Image.Output(
                    display_name="images",
                    tooltip="Pictures of all told panels (without the opening), as one batch.",
                ),
            ],
        )

    @classmethod
    def check_lazy_status(
        cls,
        model: Any,
        vae: Any,
        detokenizer: EngineHandle,
        width: int,
        height: int,
        panels: str = "",
        sigmas: Tensor | None = None,
        **_others: object,
    ) -> list[str]:
        check_painter(model, vae, detokenizer)
        host.check_size(vae, panel_size(detokenizer, width, height))
        host.check_sigmas(sigmas)
        check_panels(panels)
        return STORY

    @classmethod
    def execute(
        cls,
        story: Story,
        model: Any,
        vae: Any,
        detokenizer: EngineHandle,
        repaint: bool,
        panels: str = "",
        **how: Any,
    ) -> io.NodeOutput:
        check_story(story, detokenizer.engine)
        indices, note = chosen(story, repaint, panels)
        for painted in paint(story, indices, model, vae, detokenizer, **how):
            story = painted
            host.keep_story(story)
        captions = [story.panels[i].caption for i in indices]
        return io.NodeOutput(story, pictures_of(story), ui=with_note(captions, note))


def chosen(story: Story, repaint: bool, panels: str) -> tuple[list[int], str]:
    """Indices of the panels to paint, and a sentence on what was asked for and is left out."""
    if not panels.strip():
        return [i for i in told(story) if repaint or story.panels[i].image is None], ""
    there, note = panels_there(story, panels)
    given = openings(story, there)
    left = [i for i in there if i not in given]
    if given:
        note = f"{note} Panel {given[0]} is an opening: its picture was given.".strip()
    if not left:
        raise SeedStoryError(
            f"None of the panels {panels.strip()[:40]!r} can be painted: story {story.run!r} has "
            f"told panels up to {len(story) - 1}. {note}"
        )
    return [check_paintable(story, index) for index in left], note


def pictures_of(story: Story) -> Tensor:
    """All told panels' pictures as one IMAGE batch."""
    pictures = [p.image for p in (story.panels[i] for i in told(story)) if p.image is not None]
    if not pictures:
        raise SeedStoryError(f"Story {story.run!r} has no told panel to paint. Tell some first.")
    return to_float(pictures)


def paint(
    story: Story,
    indices: list[int],
    model: Any,
    vae: Any,
    detokenizer: EngineHandle,
    *,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    seed: int,
    same_noise: bool,
    width: int,
    height: int,
    sigmas: Tensor | None = None,
    memory: Plan | None = None,
    at_once: int = 1,
) -> Iterator[Story]:
    """The story with one more picture each time, in the order of ``indices``."""
    if not steps:
        steps, cfg, scheduler = own_settings(detokenizer)
    plan = PaintSettings(steps, cfg, seed, panel_size(detokenizer, width, height), same_noise)
    size = plan.size or detokenizer.world.panel_size
    tiled = memory is not None and memory.tiled
    sampler = host.SamplerSettings(
        steps, cfg, sampler_name, scheduler, sigmas, world_scheduler(detokenizer), tiled
    )
    note: dict[str, Json] = {"sampler": sampler_name, "cfg": cfg}
    note |= {"steps": len(sigmas) - 1} if sigmas is not None else {"steps": steps}
    note["scheduler"] = scheduler if sigmas is None else "given sigmas"
    most = host.worth_at_once(model, vae, size, sampler_name) if at_once == 0 else at_once
    if memory is not None and at_once == 0:
        most = min(most, memory.run.pictures)
    groups = list(batches(indices, most if sampler_name in host.BY_ITSELF else 1))
    if memory is not None:
        memory.check_painting(size, max(map(len, groups), default=1))
    reporter = host.Reporter(len(groups))
    for some in groups:
        reporter(0, 1, "\n".join(f"panel {i}: {story.panels[i].caption}" for i in some))
        steers = [detokenizer.engine.condition(story, index) for index in some]
        seeds = [plan.seed_of(index) & MAX_SEED for index in some]
        pictures = _together(model, vae, steers, size, seeds, sampler, reporter)
        for index, seed, picture in zip(some, seeds, pictures, strict=True):
            story = repainted(story, index, picture, {**note, "seed": seed})
            yield story
        reporter.next_stage(story.panels[some[-1]].image)


def _together(
    model: Any,
    vae: Any,
    steers: list[Conditioning],
    size: tuple[int, int],
    seeds: list[int],
    *how: Any,
) -> list[Tensor]:
    """Panels' pictures, sampled together if they are steered alike."""
    whole = joined(steers)
    if whole is not None:
        return host.paint_some(model, vae, whole, size, seeds, *how)
    pairs = zip(steers, seeds, strict=True)
    return [host.paint_one(model, vae, steer, size, seed, *how) for steer, seed in pairs]


def own_settings(detokenizer: EngineHandle) -> tuple[int, float, str]:
    """Steps, cfg and scheduler that a world is made for; else those of the reference."""
    wanted, like = detokenizer.world.defaults.get("paint", {}), PaintSettings()
    spacing = (world_scheduler(detokenizer) or {}).get("timestep_spacing")
    return (
        int(wanted.get("steps", like.steps)),
        float(wanted.get("guidance", like.guidance)),
        "simple" if spacing == "trailing" else "normal",
    )


NODES: tuple[type[io.ComfyNode], ...] = (PaintStory,)
