"""Stage 0b: the visual tokenizer, taught to say in its features what a picture shows.

A pretrained tokenizer cannot be had at this size. Its stand-in learns labels through heads that are
thrown away afterwards. Heads read features the two ways the engine does: normalised over channels,
as the LLM's regression fixes directions only, and over tokens, as the de-tokenizer reads them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from ..engines.seed_story.config import VisionConfig
from ..engines.seed_story.vision import Vision
from .data import Stories, open_data
from .encoded import enlargement, pictures_of, vision_input
from .heads import Heads
from .initial import initialise_resampler, seeded
from .labels import SceneLabels, Target, WordLabels
from .recipe import StageSettings
from .stage import Job, generator_of, part
from .twins import NATIVE, twins_of

NAME = "vision"
CHECKED = 512  # held-out pictures
AT_ONCE = 128
SCALES = 0.2  # how much the logarithms of tokens' sizes differ when the LLM made them


def build(job: Job) -> VisionStage:
    """Training on scene graphs if the data has them, else on the words of captions."""
    settings = job.settings(NAME)
    train = open_data(job.data, settings.option("split", "train"))
    held_out = open_data(job.data, "val")
    if train.scenes is not None and held_out.scenes is not None:
        target: Target = SceneLabels()
    else:
        target = WordLabels.of(train)
    vision = seeded(lambda: start(job.recipe.sizes.vision), settings.seed, NAME)
    pool = job.recipe.sizes.vision.pool
    heads = seeded(lambda: Heads(pool.tokens, pool.width, target.sizes), settings.seed, "heads")
    module = VisionTraining(vision, heads, target, settings)
    return VisionStage(job, settings, module, train, held_out)


@torch.no_grad()
def start(config: VisionConfig) -> Vision:
    """The tokenizer before training."""
    vision = Vision(config)
    vision.positions.weight.mul_(0.1)
    initialise_resampler(vision.pool)
    return vision


class VisionTraining(nn.Module):
    """The tokenizer with its heads and losses."""

    def __init__(
        self, vision: Vision, heads: Heads, target: Target, settings: StageSettings
    ) -> None:
        super().__init__()
        self.vision, self.heads, self.target = vision, heads, target
        self.pull = settings.option("pull", 1.0)
        self.even = settings.option("even", 0.05)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """``pixels`` [V * B, 3, S, S] (V views of each scene), ``labels`` [B, ...], two noises
        [V * B, L, D] and ``scales`` [V * B, L, 1] -> losses."""
        labels = batch["labels"]
        views = len(batch["pixels"]) // len(labels)
        features = self.vision(batch["pixels"])
        read = torch.cat(
            (
                over_channels(features) + batch["noise_over_channels"],
                over_tokens(over_channels(features) * batch["scales"]) + batch["noise_over_tokens"],
            )
        )
        said = self.target.loss(self.heads(read), labels.repeat(2 * views, 1))
        size = features.float().square().mean(-1).sqrt()
        even = (size - 1).square().mean()
        loss = said + self.even * even
        scalars = {"said": said, "even": even}
        if views > 1:
            apart = 1 - F.cosine_similarity(*features.float().chunk(2), dim=-1).mean()
            loss = loss + self.pull * apart
            scalars["apart"] = apart
        return {"loss": loss, **scalars}


def over_channels(features: Tensor) -> Tensor:
    """[B, L, D] with every token of the length sqrt(D)."""
    return F.normalize(features, dim=-1) * features.shape[-1] ** 0.5


def over_tokens(features: Tensor) -> Tensor:
    """[B, L, D] with every channel of the length sqrt(L), as the de-tokenizer has it."""
    return F.normalize(features, dim=1) * features.shape[1] ** 0.5


class VisionStage:
    """Batches, held-out figures and result."""

    name = NAME

    def __init__(
        self,
        job: Job,
        settings: StageSettings,
        module: VisionTraining,
        train: Stories,
        held_out: Stories,
    ) -> None:
        self.settings, self.module, self.target = settings, module, module.target
        self.config, self.enlarge = job.recipe.sizes.vision, enlargement(job)
        self.pictures, self.held_out = pictures_of(job, train), pictures_of(job, held_out)
        self.labels = self.target.read(train)
        self.held_out_labels = self.target.read(held_out)
        drawn = job.recipe.native_size == NATIVE and settings.option("twins", True)
        self.twins = twins_of(train.scenes if drawn else None, train.looks)
        self.held_out_twins = twins_of(held_out.scenes if drawn else None, held_out.looks)
        self.token_noise = settings.option("token_noise", 0.2)
        self.picture_noise = settings.option("picture_noise", 0.1)

    def batch(self, step: int, rank: int, size: int) -> dict[str, Tensor]:
        settings = self.settings
        generator = generator_of(settings.seed, NAME, step)
        rows = torch.randint(len(self.pictures), (settings.batch,), generator=generator)
        numbers = part(rows, rank, size).numpy()
        twins = self.twins(rows.numpy(), f"{settings.seed} {step}", slice(rank, None, size))
        images = np.concatenate([self.pictures[numbers], *twins])
        pixels = vision_input(images, self.enlarge, self.config.image_size)
        views = len(pixels) // len(numbers)

        def drawn(*shape: int) -> Tensor:
            """Unit noise [views * B / size, ...] for the pictures of this part."""
            whole = torch.randn(settings.batch, views, *shape, generator=generator)
            return rearrange(part(whole, rank, size), "b v ... -> (v b) ...")

        tokens, width = self.config.pool.tokens, self.config.pool.width
        pixels += drawn(*pixels.shape[1:]) * self.picture_noise
        return {
            "pixels": pixels,
            "labels": self.labels[torch.from_numpy(numbers)],
            "noise_over_channels": drawn(tokens, width) * self.token_noise,
            "noise_over_tokens": drawn(tokens, width) * self.token_noise,
            "scales": (drawn(tokens, 1) * SCALES).exp(),
        }

    def check(self, module: nn.Module) -> dict[str, float]:
        assert isinstance(module, VisionTraining)
        count = min(CHECKED, len(self.held_out))
        rows = np.arange(count) * len(self.held_out) // count
        labels = self.held_out_labels[torch.from_numpy(rows)]
        features = self._features(module.vision, self.held_out[rows])
        device = features.device
        figures = {}
        for name, view in (("", over_channels), ("tokens_", over_tokens)):
            said = module.heads(view(features))
            for key, value in self.target.figures(said, labels.to(device)).items():
                figures[name + key] = value
        for twin in self.held_out_twins(rows, "check", slice(None)):
            other = self._features(module.vision, twin)
            figures["twins_apart"] = float(1 - F.cosine_similarity(features, other, dim=-1).mean())
        return figures

    def _features(self, vision: Vision, images: np.ndarray) -> Tensor:
        device = vision.proj.weight.device
        found = []
        for start in range(0, len(images), AT_ONCE):
            pixels = vision_input(
                images[start : start + AT_ONCE], self.enlarge, self.config.image_size
            )
            found.append(vision(pixels.to(device)))
        return torch.cat(found)

    def result(self, module: nn.Module) -> dict[str, Mapping[str, Tensor]]:
        assert isinstance(module, VisionTraining)
        return {"vision": module.vision.state_dict()}
