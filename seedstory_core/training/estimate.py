"""What an adaptation will take, step by step, before anything of the world is loaded.

Every module is built on the meta device: parameters, operations and kept bytes are counted on the
real classes, at any size. Small worlds are then timed with weights that mean nothing; for large
ones operations are divided by the speed of this machine.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path

import torch

from ..engines.seed_story.config import OFFICIAL
from ..errors import SeedStoryError
from ..machine import Machine
from ..world import World, WorldFile
from . import works
from .adapt_drawing import draws
from .adapt_encode import PIXELS
from .adapt_plan import Estimate, Step
from .adapt_settings import AdaptSettings
from .adapt_taught import Taught, taught_how
from .adapt_works import asked_before, drawing, scores_kept, told_twice, training_step
from .counting import cost_of, parameters
from .recipe import StageSettings
from .rehearsal import paint_defaults
from .speed import Speed, measure, seconds_of
from .works import META, Shapes, Work

#: Worlds with a larger LLM or UNet are trained frugally: 2 bytes a frozen weight, checkpointing.
LARGE = 500_000_000
#: A step of more operations is not timed but computed from the machine's speed.
PROBED = 1e12
READING = 0.02  # seconds to read and shrink a picture, twice


def official_world() -> World:
    """The released world as far as an estimate reads it, for those who have not got it."""
    with META:
        parts = {
            "llm": works.Mllm(OFFICIAL),
            "vision": works.Vision(OFFICIAL.vision),
            "detokenizer": works.Detokenizer(OFFICIAL.detokenizer),
        }
    files = {
        name: WorldFile(f"{name}.safetensors", 2 * parameters(part), "")
        for name, part in parts.items()
    }
    return World(
        root=Path("official"),
        name="official",
        title="the released world (sizes only)",
        engine="seed_story",
        sizes=OFFICIAL.to_json(),
        files=files,
        panel_size=(1024, 1024),
        licence="",
        provenance={},
    )


def is_large(shapes: Shapes) -> bool:
    """Whether the LLM or the UNet is too large for plain training on most machines."""
    with META:
        unet = works.build_unet(shapes.unet)
        llm = works.Mllm(shapes.sizes)
    return max(parameters(unet), parameters(llm)) > LARGE


def estimate(
    world: World,
    settings: AdaptSettings,
    pictures: int,
    panels: int,
    caption: int,
    device: torch.device,
    machine: Machine,
    probe: bool = True,
    rehearsed_known: bool = False,
) -> Estimate:
    """Count, and measure where it is small.

    Args:
        pictures: of the data. ``panels``: of its longest story. ``caption``: tokens of a long one.
        probe: time small steps with random weights; False computes all times.
        rehearsed_known: the rehearsed panels are data, not told by the base world.

    Raises:
        SeedStoryError: the world's painter is not configured sensibly, or what it says of its own
            training cannot be.
    """
    shapes, taught = Shapes.of(world, min(settings.window, panels), caption), taught_how(world)
    try:
        frugal = is_large(shapes) if settings.frugal is None else settings.frugal
        settings = settings.sized(frugal)
        counts = _Counts(world, shapes, settings, device, frugal, machine, probe, taught)
        rehearsed = settings.replay
        steps = [counts.rehearse(rehearsed)] if rehearsed and not rehearsed_known else []
        steps += [counts.encode(pictures + rehearsed), counts.tell()]
        if settings.paint_steps:
            steps += [counts.regress(pictures + rehearsed), counts.paint()]
        if settings.draw_steps and draws(world):
            steps.append(counts.draw(pictures + rehearsed))
        steps.append(counts.write())
    except SeedStoryError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise SeedStoryError(
            f"World {world.name!r} cannot be counted ({error}). Its world.json is damaged."
        ) from error
    return Estimate(tuple(steps), frugal, str(device), counts.speed.memory, machine.disk)


class _Counts:
    """The steps of one adaptation."""

    def __init__(
        self,
        world: World,
        shapes: Shapes,
        settings: AdaptSettings,
        device: torch.device,
        frugal: bool,
        machine: Machine,
        probe: bool,
        taught: Taught,
    ) -> None:
        self.taught = taught
        self.world, self.shapes, self.settings = world, shapes, settings
        self.device, self.frugal, self.probe = device, frugal, probe
        self.dtype = torch.bfloat16 if frugal else torch.float32
        self.speed: Speed = measure(device, self.dtype, machine)

    def rehearse(self, panels: int) -> Step:
        """The base world tells and paints its own panels: row by row, then step by step."""
        shapes, (paint_steps, guidance) = self.shapes, paint_defaults(self.world)
        with META:
            llm = works.Mllm(shapes.sizes)
            vae = works.build_vae(shapes.vae)
        painter = works.painting(shapes, self.settings, 1, META, self.dtype)
        forward = cost_of(painter.module, painter.loss, painter.units).forward
        size = parameters(llm) * self.dtype.itemsize
        rows = shapes.caption + shapes.sizes.image_tokens
        passes = paint_steps * (1 if guidance == 1 else 2)
        row = self.speed.seconds(2 * parameters(llm), size)
        brush = self.speed.seconds(forward)
        small = self.probe and forward < PROBED
        if small:
            row = seconds_of(works.one_row(shapes, self.device, self.dtype), self.device)
            real = works.painting(shapes, self.settings, 1, self.device, self.dtype)
            brush = self._forward_seconds(real)
        return Step(
            name="rehearsal",
            parameters=parameters(llm) + parameters(painter.module) + parameters(vae),
            weights=max(size, (parameters(painter.module) + parameters(vae)) * self.dtype.itemsize),
            activations=max(self._decoding_bytes(), works.kept_rows(shapes, self.dtype)),
            disk=panels * prod(self.shapes.panel_size) * 3,
            operations=panels * (2 * parameters(llm) * rows + passes * forward),
            seconds=panels * (rows * row + passes * brush),
            probed=small,
        )

    def encode(self, pictures: int) -> Step:
        """Features and latents of all pictures by the frozen encoders, one after the other."""
        eye = works.vision(self.shapes, META, self.dtype)
        with META:
            vae = works.build_vae(self.shapes.vae)
        side, (width, height) = self.shapes.sizes.vision.image_size, self.shapes.panel_size
        pixels = torch.empty(1, 3, side, side, device=META, dtype=self.dtype)
        seen = cost_of(eye, lambda: eye(pixels)).forward
        shown = torch.empty(1, 3, height, width, device=META)

        def latents() -> torch.Tensor:
            found = vae.encode(shown)
            return found if isinstance(found, torch.Tensor) else found.latent_dist.mean

        vae.requires_grad_(False).eval()
        operations = pictures * (seen + cost_of(vae, latents).forward)
        row = 2 * (prod(self.shapes.features) + prod(self.shapes.latent))
        return Step(
            name="encoding",
            parameters=parameters(eye) + parameters(vae),
            weights=max(parameters(eye) * self.dtype.itemsize, parameters(vae) * 4),
            activations=self._decoding_bytes(),
            disk=pictures * row,
            operations=operations,
            seconds=self.speed.seconds(operations) + pictures * READING,
        )

    def tell(self) -> Step:
        """Training of the LLM."""
        stage = self.settings.telling(self.frugal, self.taught)
        step = self._train("LLM", lambda *how: asked_before(self._telling(*how)), stage)
        if self.device.type != "cpu":
            return step
        work = self._telling(self.shapes, self.settings, 1, META, self.dtype)
        part = stage.batch // stage.accumulate
        scores = part * scores_kept(work, self.shapes.sizes.llm, self.frugal)
        return replace(step, activations=step.activations + scores)

    def paint(self) -> Step:
        """Training of the de-tokenizer."""
        stage = self.settings.painting(self.frugal, self.taught)
        return self._train("de-tokenizer", works.painting, stage)

    def draw(self, pictures: int) -> Step:
        """Training of the decoder of a drawn world's VAE; never frugal, since it is small."""
        step = self._train("VAE decoder", drawing, self.settings.drawing(), frugal=False)
        width, height = self.shapes.panel_size
        pixels = width * height // int(self.shapes.vae.get("enlarge", 1)) ** 2
        return replace(step, weights=step.weights + pictures * pixels)

    def regress(self, pictures: int) -> Step:
        """One pass over all windows: what the adapted LLM says each picture is."""
        work = self._telling(self.shapes, self.settings, 1, META, self.dtype)
        forward = cost_of(work.module, work.loss).forward
        windows = -(-pictures // max(1, self.shapes.panels - 1))
        small = self.probe and forward < PROBED
        one = self.speed.seconds(forward)
        if small:
            one = self._forward_seconds(
                self._telling(self.shapes, self.settings, 1, self.device, self.dtype)
            )
        return Step(
            name="features told",
            parameters=parameters(work.module),
            weights=parameters(work.module) * self.dtype.itemsize,
            disk=pictures * 2 * prod(self.shapes.features),
            operations=windows * forward,
            seconds=windows * one,
            probed=small,
        )

    def write(self) -> Step:
        """The new world: files that changed and copies of those that did not."""
        total = sum(entry.bytes for entry in self.world.files.values())
        return Step(name="new world", disk=2 * total, seconds=2 * total / 300e6)

    def _telling(
        self,
        shapes: Shapes,
        settings: AdaptSettings,
        count: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> Work:
        work = works.telling(shapes, settings, count, device, dtype)
        return told_twice(work) if self.taught.llm.get("self_fed") else work

    def _train(
        self, name: str, build: works.Builder, stage: StageSettings, frugal: bool | None = None
    ) -> Step:
        frugal = self.frugal if frugal is None else frugal
        part = stage.batch // stage.accumulate
        counted = build(self.shapes, self.settings, part, META, self.dtype)
        cost = cost_of(counted.module, counted.loss, counted.units)
        work = stage.accumulate * cost.operations(frugal)
        small = self.probe and work < PROBED
        one = self.speed.seconds(work)
        if small:
            real = build(self.shapes, self.settings, part, self.device, self.dtype)
            one = stage.accumulate * seconds_of(real.step, self.device)
        return training_step(name, counted.module, cost, stage, frugal, work, one, small)

    def _decoding_bytes(self) -> int:
        """What the VAE works in: four fp32 tensors of its widest kind."""
        width, height = self.shapes.panel_size
        channels = self.shapes.vae.get("block_out_channels", (3,))[0]
        return 4 * 4 * channels * max(width * height, PIXELS)

    def _forward_seconds(self, work: Work) -> float:
        with torch.no_grad():
            return seconds_of(work.loss, self.device)
