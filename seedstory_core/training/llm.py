"""Stage 2: the LLM learns to tell, by next-token and feature-regression losses (SPEC 6).

Mode ``turns`` makes every panel of a window but the first a response; mode ``reference`` is the
published recipe, one response of a random panel, which always ends the text. The layers are the
engine's; only the reading of several answers at once (`windows`) is training's own.
Source: train_clm_sft.py and src/models_clm/models.py of SEED-Story.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ..engines.seed_story.config import SeedStoryConfig
from ..engines.seed_story.mllm import Mllm
from ..engines.seed_story.prompt import Vocabulary
from ..engines.seed_story.tokenizer import Tokenizer
from ..errors import SeedStoryError
from ..parts import load_strict
from .cache import Rows
from .data import Stories, open_data
from .encoded import picture_features
from .initial import initialise_mllm, seeded
from .lora import add_lora, merged_state
from .reading import read
from .recipe import StageSettings
from .sinks import SINK, WholeStories, draw_stories, tell_stories
from .stage import Job, generator_of
from .windows import Scripts, Window, collate
from .words import train_words, with_words

NAME = "llm"
MODES = ("turns", "reference")
GROUP = 8  # batches whose windows are sorted by length together


class TellingModule(nn.Module):
    """The LLM and its losses.

    Args:
        rec_weight: of the feature regression; 1 is the reference's.
    """

    def __init__(self, mllm: Mllm, save_memory: bool = False, rec_weight: float = 1.0) -> None:
        super().__init__()
        self.mllm, self.save_memory, self.rec_weight = mllm, save_memory, rec_weight

    def hidden(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Hidden states of all rows of a batch of `windows.collate`, [B * T, D].

        ``pictures`` are features [S, L, D] here.
        """
        llm = self.mllm
        embeds = llm.model.embed_tokens(batch["ids"])
        pictures = rearrange(llm.input_resampler(batch["pictures"]), "s l d -> (s l) d")
        rows = rearrange(embeds, "b t d -> (b t) d")
        rows = rows.index_copy(0, batch["filled"], pictures.to(rows.dtype))
        x = rearrange(rows, "(b t) d -> b t d", b=len(embeds))
        x = read(llm.model, x, batch["positions"], batch["see"], self.save_memory)
        return rearrange(x, "b t d -> (b t) d")

    def answers(self, hidden: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """The pictures that the answers mean, [R, L, D]."""
        return self.mllm.output_resampler(hidden[batch["answers"]])

    @torch.no_grad()
    def fed(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The batch with its own answers in place of the pictures that ``fed`` [S] marks.

        Told stories are read back by the model that told them: what it makes of true pictures
        alone drifts within a story (exposure bias). Source: the two passes of Mihaylova and
        Martins, "Scheduled Sampling for Transformers" (2019), section 3.
        """
        told = self.answers(self.hidden(batch), batch).to(batch["pictures"].dtype)
        torch.clear_autocast_cache()  # its weights, cast without gradients, would be used again
        own = rearrange(batch["fed"] & (batch["told"] >= 0), "s -> s 1 1")
        pictures = torch.where(own, told[batch["told"].clamp_min(0)], batch["pictures"])
        return {**batch, "pictures": pictures}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """``loss`` = ``ce`` + weighted ``rec``, and ``right``, the share of likeliest tokens."""
        if SINK + "ids" in batch:
            told = tell_stories(self.mllm, batch)
            return self._losses(told.hidden, told.labels, told.pictures, batch["targets"])
        if "fed" in batch:
            batch = self.fed(batch)
        hidden = self.hidden(batch)
        told = self.answers(hidden, batch)
        return self._losses(hidden[batch["said"]], batch["labels"], told, batch["targets"])

    def _losses(
        self, said: Tensor, labels: Tensor, told: Tensor, targets: Tensor
    ) -> dict[str, Tensor]:
        """Hidden states [M, D] of rows that say ``labels`` [M]; pictures told, [R, L, D]."""
        scores = self.mllm.lm_head(said).float()
        ce = F.cross_entropy(scores, labels)
        rec = (1 - F.cosine_similarity(told.float(), targets, dim=-1)).mean()
        right = (scores.detach().argmax(-1) == labels).float().mean()
        return {"loss": ce + self.rec_weight * rec, "ce": ce, "rec": rec, "right": right}


class Telling:
    """Draws windows of one split and fills them with features."""

    def __init__(self, scripts: Scripts, features: Rows, settings: StageSettings) -> None:
        self.scripts, self.features, self.settings = scripts, features, settings
        mode = settings.option("mode", MODES[0])
        if mode not in MODES:
            raise SeedStoryError(
                f"The mode of stage {NAME!r} is {' or '.join(MODES)}, not {mode!r}."
            )
        self.reference = mode == "reference"
        self.panels = settings.option("window", 9)
        self._from_start = settings.option("from_start", 0.25)
        self._ends = settings.option("say_end", True)
        starts = np.array(scripts.starts)
        self._long = np.flatnonzero(np.diff(starts) >= 2)
        self._sizes = np.diff(starts)
        if not len(self._long) or self.panels < 2:
            raise SeedStoryError(
                "The LLM is trained on windows of at least 2 panels: the option window must be 2 "
                "or more, and one story at least must have 2 panels."
            )

    def draw(self, count: int, draw: torch.Generator) -> list[Window]:
        """Random windows of random stories."""
        chosen = torch.randint(len(self._long), (count,), generator=draw).numpy()
        units = torch.rand(2, count, generator=draw).numpy()
        return [
            self._window(int(self._long[story]), float(a), float(b))
            for story, a, b in zip(chosen, *units, strict=True)
        ]

    def _window(self, story: int, early: float, unit: float) -> Window:
        start, size = self.scripts.starts[story], int(self._sizes[story])
        if self.reference:
            response = 1 + int(unit * (size - 1))  # n + 1 with n = randint(0, size - 2)
            first = max(0, response + 1 - self.panels)
            return Window(start + first, start + response + 1, True, only_last=True)
        first = 0
        if early >= self._from_start:
            first = int(unit * (max(0, size - self.panels) + 1))
        end = min(size, first + self.panels)
        return Window(start + first, start + end, self._ends and end == size)

    def batch(
        self, windows: list[Window], draw: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """The windows as `TellingModule` reads them.

        With ``draw``, noise is added to what they read (option ``feature_noise``), and some of the
        pictures are to be the model's own (option ``self_fed``: their share).
        """
        batch = collate(self.scripts, windows)
        return self._filled(batch, draw)

    def whole(
        self, stories: WholeStories, draw: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Whole stories under a sink as `TellingModule` reads them; ``draw`` as in `batch`."""
        batch = stories.batch(self.scripts)
        shape = batch["pictures"].shape
        batch = self._filled({**batch, "pictures": batch["pictures"].flatten()}, draw)
        for name in ("pictures", "fed"):
            if name in batch:
                batch[name] = batch[name].unflatten(0, shape)
        return batch

    def _filled(self, batch: dict[str, Tensor], draw: torch.Generator | None) -> dict[str, Tensor]:
        """Features in place of the numbers of panels."""
        read = self.features.take(batch["pictures"])
        noise = self.settings.option("feature_noise", 0.0)
        if draw is not None and noise:
            sizes = read.square().mean((1, 2), keepdim=True).sqrt()
            strengths = torch.rand(len(read), 1, 1, generator=draw) * noise
            read = read + sizes * strengths * torch.randn(read.shape, generator=draw)
        share = self.settings.option("self_fed", 0.0)
        if draw is not None and share:
            batch["fed"] = torch.rand(len(read), generator=draw) < share
        return {**batch, "pictures": read, "targets": self.features.take(batch["targets"])}


class LlmStage:
    """Stage 2.

    Args:
        held_out: windows for `check`, or None for no figures.
    """

    name = NAME

    def __init__(
        self,
        module: TellingModule,
        settings: StageSettings,
        train: Telling,
        held_out: Telling | None = None,
    ) -> None:
        self.module, self.settings, self.train, self.held_out = module, settings, train, held_out
        self._group: tuple[int, list[list[Window]]] = (-1, [])

    def batch(self, step: int, rank: int, size: int) -> dict[str, Tensor]:
        """See `Stage.batch`; the option ``sinks`` is the share of steps with whole stories."""
        draw = generator_of(self.settings.seed, NAME, "sinks", step)
        if float(torch.rand((), generator=draw)) < self.settings.option("sinks", 0.0):
            stories = draw_stories(self.train.scripts.starts, self.settings, draw)
            draw = generator_of(self.settings.seed, NAME, "noise", step, rank, size)
            return self.train.whole(stories.part(rank, size), draw)
        group, place = divmod(step, GROUP)
        if self._group[0] != group:
            self._group = (group, self._sorted(group))
        windows = self._group[1][place][rank::size]
        draw = generator_of(self.settings.seed, NAME, "noise", step, rank, size)
        return self.train.batch(windows, draw)

    def _sorted(self, group: int) -> list[list[Window]]:
        """The batches of some steps: windows of like length together leave few rows empty."""
        count, draw = self.settings.batch, generator_of(self.settings.seed, NAME, group)
        windows = sorted(self.train.draw(count * GROUP, draw), key=self.train.scripts.length)
        batches = [windows[at : at + count] for at in range(0, len(windows), count)]
        return [batches[int(at)] for at in torch.randperm(GROUP, generator=draw)]

    @torch.no_grad()
    def check(self, module: nn.Module) -> dict[str, float]:
        """The losses on held-out windows, always the same ones."""
        count = self.settings.option("check", 64)
        if self.held_out is None or not count:
            return {}
        device = next(module.parameters()).device
        windows = self.held_out.draw(count, generator_of(self.settings.seed, NAME, "check"))
        sums: dict[str, float] = {}
        for at in range(0, count, self.settings.batch):
            some = windows[at : at + self.settings.batch]
            batch = {name: value.to(device) for name, value in self.held_out.batch(some).items()}
            for name, value in module(batch).items():
                key = f"val_{name}"
                sums[key] = sums.get(key, 0.0) + float(value) * len(some) / count
        return sums

    def result(self, module: nn.Module) -> dict[str, Mapping[str, Tensor]]:
        """See `Stage.result`; LoRA is merged."""
        assert isinstance(module, TellingModule)
        return {"llm": merged_state(module.mllm)}


def open_words(job: Job, stories: Stories) -> tuple[SeedStoryConfig, Vocabulary]:
    """The run's tokenizer, trained on ``stories`` if there is none; sizes with its vocabulary."""
    folder, sizes = job.run / "tokenizer", job.recipe.sizes
    if (folder / "special_tokens_map.json").is_file():  # the last file of it that is written
        tokenizer = Tokenizer.from_folder(folder)
    else:
        tokenizer = train_words(stories.captions, folder, sizes.image_tokens)
    sizes = with_words(sizes, tokenizer)
    return sizes, Vocabulary(tokenizer, sizes.image_tokens, sizes.llm.vocab)


def new_mllm(sizes: SeedStoryConfig, seed: int) -> Mllm:
    """The LLM before training, the same for the same seed."""

    def build() -> Mllm:
        mllm = Mllm(sizes)
        initialise_mllm(mllm)
        return mllm

    return seeded(build, seed, NAME, "weights")


def open_mllm(job: Job, sizes: SeedStoryConfig) -> Mllm:
    """The LLM that stage 2 has trained."""
    path = job.result(NAME, "llm")
    mllm = Mllm(sizes)
    load_strict(mllm, load_file(path), str(path))
    return mllm


def build(job: Job) -> LlmStage:
    """Stage 2 for a run whose visual tokenizer is trained."""
    settings = job.settings(NAME)
    stories = open_data(job.data, "train")
    sizes, words = open_words(job, stories)
    train = Telling(Scripts(words, stories), picture_features(job, stories), settings)
    held_out = None
    if settings.option("check", 64) and (job.data / "val.jsonl").is_file():
        others = open_data(job.data, "val")
        held_out = Telling(Scripts(words, others), picture_features(job, others), settings)
    mllm = new_mllm(sizes, settings.seed)
    lora: dict[str, Any] = settings.option("lora", {})
    if lora:
        seeded(lambda: add_lora(mllm, lora), settings.seed, NAME, "lora")
    weight = settings.option("rec_weight", 1.0)
    module = TellingModule(mllm, settings.option("save_memory", False), weight)
    return LlmStage(module, settings, train, held_out)
