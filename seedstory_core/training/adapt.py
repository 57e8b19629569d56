"""Your own series: a world learns new pictures and captions, and keeps what it knew.

The steps: the base world rehearses (tells and paints its own stories), all pictures are encoded by
its frozen encoders, the LLM learns by adapters, the de-tokenizer learns to paint what it says, a
drawn world's VAE to draw it, and a new world is written. Every step is kept, so that a stopped
adaptation goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..world import World
from .adapt_base import open_words, unet_patch
from .adapt_data import Lessons, first_panels, joined, open_series
from .adapt_drawing import DRAWING, DrawStage, colours_of, draws, open_drawing
from .adapt_encode import Encoded, encode
from .adapt_painting import NAME as PAINTING
from .adapt_painting import PaintStage, open_painting, painting_recipe
from .adapt_record import (
    claim,
    figures_of,
    is_first_process,
    keep_figures,
    provenance,
    wait_for_everyone,
)
from .adapt_settings import AdaptSettings
from .adapt_taught import Taught, taught_how
from .adapt_telling import NAME as TELLING
from .adapt_telling import MixedTelling, TellStage, open_telling, told_rows
from .adapt_words import Words, begin, grow, spelt_words
from .adapted_world import refuse_existing, write_adapted
from .data import Stories, open_data
from .detokenizer import Pairs
from .llm import TellingModule
from .loop import train
from .rehearsal import Rehearsal
from .stage import Progress
from .windows import Scripts

CHANGES = "changes"
WORDS, ROWS = "words", "rows.safetensors"
#: Stages and what they are called in reports.
STEPS = {TELLING: "LLM", PAINTING: "de-tokenizer", DRAWING: "VAE decoder"}


@dataclass(frozen=True)
class Adaptation:
    """One adaptation.

    Attributes:
        out: folder of the new world. ``run``: of caches and checkpoints.
        replay_data: stories of the base world to rehearse instead of its own telling.
        base: SDXL base, for worlds without a painter of their own.
        report: called as ``report(step)`` when a step begins; gives the `Progress` of that step.
        frugal: as estimated.
        cpu: stay on the CPU even where there is a GPU.
    """

    world: World
    data: Path
    out: Path
    run: Path
    settings: AdaptSettings
    report: Callable[[str], Progress]
    device: torch.device = torch.device("cpu")
    frugal: bool = False
    replay_data: Path | None = None
    base: Path | None = None
    cpu: bool = False

    def adapt(self, max_steps: int | None = None) -> bool:
        """Run it to its end; False if ``max_steps`` (of each stage) ended it before.

        Raises:
            SeedStoryError: the data, the world or the folders do not do; nothing is half written.
            KeyboardInterrupt: stopped; the same call goes on.
        """
        words = Words(*open_words(self.world))
        refuse_existing(self.out)
        series = open_series(self.data, words.vocabulary)
        lessons, encoded = self._prepared(series)
        words = self._grown(words, series)
        told = self._tell(words, lessons, encoded, max_steps)
        if told is None:
            return False
        painted: Mapping[str, Tensor] | None = {}
        if self.settings.paint_steps:
            painted = self._paint(words, lessons, encoded, told, max_steps)
        if painted is None:
            return False
        drawn: Mapping[str, Tensor] | None = {}
        if self.settings.draw_steps and draws(self.world):
            drawn = self._draw(lessons, encoded, max_steps)
        if drawn is None:
            return False
        if is_first_process():
            figures = figures_of(self.run, tuple(STEPS))
            about = provenance(
                self.world, series, lessons, self._sized, self._taught, self.frugal, figures
            )
            write_adapted(
                self.world, self.out, words, told, painted, drawn, encoded.zero, series, about
            )
        return True

    @cached_property
    def _sized(self) -> AdaptSettings:
        return self.settings.sized(self.frugal)

    def _grown(self, words: Words, series: Stories) -> Words:
        """The words with those of the new series that shall be tokens of their own."""
        wanted = self._sized.new_words
        if wanted is None:
            wanted = spelt_words(series.captions, words.vocabulary.tokenizer)
        return grow(self.world, words, wanted, self.run / WORDS) if wanted else words

    def _begin(self, words: Words, mixed: MixedTelling) -> Callable[[TellingModule], None] | None:
        """Fills the rows of new words, where there are some."""
        if not words.count:
            return None
        return partial(begin, words=words, batches=mixed.all_new(), kept=self.run / WORDS / ROWS)

    @cached_property
    def _taught(self) -> Taught:
        return taught_how(self.world)

    def _prepared(self, series: Stories) -> tuple[Lessons, Encoded]:
        """Rehearsed and encoded; by one process first, which leaves the files to the others."""
        from accelerate import PartialState

        with PartialState(cpu=self.cpu).main_process_first():
            claim(self.run, self.world, series, self.replay_data, self.settings, self.frugal)
            lessons = joined(series, self._rehearsed())
            encoded = encode(
                self.world,
                lessons.stories,
                self.run / "cache",
                self.device,
                self.report("encoding"),
                self._dtype,
                self._mapped,
                self.base,
            )
        return lessons, encoded

    @property
    def _dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.frugal and self.device.type != "cpu" else torch.float32

    @property
    def _mapped(self) -> bool:
        """A large world on a CPU computes from its mapped files."""
        return self.frugal and self.device.type == "cpu"

    def _rehearsed(self) -> Stories | None:
        panels = self.settings.replay
        if not panels:
            return None
        if self.replay_data is not None:
            return first_panels(open_data(self.replay_data, "train"), panels)
        return Rehearsal(
            self.world,
            self.run / "rehearsal",
            panels,
            self.settings.seed,
            self.device,
            self.report("rehearsal"),
            self._dtype,
            self._mapped,
            self.base,
        ).stories()

    def _tell(
        self,
        words: Words,
        lessons: Lessons,
        encoded: Encoded,
        max_steps: int | None,
    ) -> Mapping[str, Tensor] | None:
        """Changes of the LLM; None if the training has not ended."""

        def build() -> TellStage:
            stage = self.settings.telling(self.frugal, self._taught)
            scripts = Scripts(words.vocabulary, lessons.stories)
            mixed = MixedTelling(
                scripts, encoded.features, stage, lessons.tales, self.settings.share
            )
            weight = stage.option("rec_weight", 1.0)
            module = open_telling(
                self.world,
                words,
                self._sized,
                self.frugal,
                rec_weight=weight,
                begin=self._begin(words, mixed),
            )
            return TellStage(module, stage, mixed)

        return self._trained(TELLING, build, max_steps)

    def _paint(
        self,
        words: Words,
        lessons: Lessons,
        encoded: Encoded,
        told: Mapping[str, Tensor],
        max_steps: int | None,
    ) -> Mapping[str, Tensor] | None:
        """Changes of de-tokenizer and UNet; None if the training has not ended."""

        def build() -> PaintStage:
            stage = self.settings.telling(self.frugal, self._taught)
            mixed = MixedTelling(
                Scripts(words.vocabulary, lessons.stories),
                encoded.features,
                stage,
                lessons.tales,
                0.0,
            )
            module = open_telling(self.world, words, self._sized, self.frugal, told)
            self.report("features told")
            starts = lessons.stories.starts
            rows = told_rows(module, mixed, starts, self.settings.window, self.device)
            del module
            patch = unet_patch(self.world)
            painter = open_painting(
                self.world, words.config, self._sized, self.frugal, patch, self.base
            )
            pairs = Pairs(encoded.features, encoded.latents, None)
            recipe = painting_recipe(self.world, words.config)
            stage = self.settings.painting(self.frugal, self._taught)
            return PaintStage(
                painter,
                stage,
                recipe,
                pairs,
                encoded.zero,
                told=rows,
                lessons=lessons,
                adapt=self.settings,
            )

        return self._trained(PAINTING, build, max_steps)

    def _draw(
        self, lessons: Lessons, encoded: Encoded, max_steps: int | None
    ) -> Mapping[str, Tensor] | None:
        """Changes of a drawn world's VAE; None if the training has not ended."""

        def build() -> DrawStage:
            return DrawStage(
                open_drawing(self.world, self.base),
                self.settings.drawing(),
                lessons,
                encoded.latents,
                colours_of(lessons, self.world),
                self.settings.share,
            )

        return self._trained(DRAWING, build, max_steps)

    def _trained(
        self, name: str, build: Callable[[], Any], max_steps: int | None
    ) -> Mapping[str, Tensor] | None:
        """What a stage has changed, trained if it is not yet; None if it has not ended."""
        folder = self.run / name
        path = folder / f"{CHANGES}.safetensors"
        if not path.is_file():
            stage = build()
            keep_figures(folder, stage, self.device)
            progress = self.report(STEPS[name])
            train(
                stage,
                stage.settings,
                folder,
                progress=progress,
                max_steps=max_steps,
                cpu=self.cpu,
            )
        wait_for_everyone()
        return load_file(path) if path.is_file() else None
