"""A whole other kind of engine: tells like a counter, paints jointly by its own sampler.

Stands for the joint, sampler-route systems. `test_toy_engine.py` registers it under
``seedstory_core.engines.toy``, as a folder there would be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from seedstory_core.context import ContextPolicy
from seedstory_core.engine import Capabilities, Host, Order, Route
from seedstory_core.errors import SeedStoryError
from seedstory_core.parts import Part
from seedstory_core.sampling import Sampling
from seedstory_core.story import append, attach_image
from seedstory_core.types import (
    Conditioning,
    ImageFeatures,
    Opening,
    PaintSettings,
    Panel,
    Progress,
    Story,
    no_progress,
)
from seedstory_core.world import World

SPACE = "toy.code"


class ToyEngine:
    """Captions count, features come from the seed, pictures know how many were painted at once."""

    name = "toy"
    capabilities = Capabilities(Order.JOINT, Route.SAMPLER, emits=frozenset({"text"}))

    def __init__(self, world: World) -> None:
        self.world = world.ref
        self.parts: Mapping[str, Part] = {}
        self.words = world.file("words").read_text().split()
        self.size = world.panel_size

    def encode(self, images: Sequence[Tensor]) -> ImageFeatures:
        rows = [image.float().mean((0, 1))[None] / 255 for image in images]  # [1, 3] each
        return ImageFeatures(torch.stack(rows), SPACE, self.world)

    def start(self, opening: Opening) -> Story:
        image = opening.image
        assert image is not None
        story = Story((), self.name, self.world, opening.run, opening.characters)
        features = {SPACE: self.encode([image]).tensor[0]}
        return append(
            story, Panel(opening.text, opening.text, "opening", features=features, image=image)
        )

    def tell(
        self,
        story: Story,
        caption: str | None = None,
        sampling: Sampling | None = None,
        context: ContextPolicy | None = None,
        *,
        seed: int = 0,
        reference: bool = False,
        progress: Progress = no_progress,
    ) -> Story:
        generator = torch.Generator().manual_seed(seed)
        code = torch.rand(1, 3, generator=generator)
        progress(1, 1, "toy")
        told = caption or f"{self.words[len(story) % len(self.words)]} {len(story)}"
        origin = "told" if caption is None else "illustrated"
        return append(story, Panel(told, told, origin, features={SPACE: code}, seed=seed))

    def condition(self, story: Story, index: int) -> Conditioning:
        raise SeedStoryError("The toy paints with its own sampler.")

    def condition_features(self, features: ImageFeatures) -> Conditioning:
        raise SeedStoryError("The toy paints with its own sampler.")

    def unet_patch(self) -> Mapping[str, Tensor]:
        return {}

    def paint(
        self,
        story: Story,
        indices: Sequence[int],
        settings: PaintSettings,
        progress: Progress = no_progress,
    ) -> list[Tensor]:
        width, height = settings.size or self.size
        pictures = []
        for done, index in enumerate(indices, start=1):
            colour = (story.panels[index].features[SPACE][0] * 255).to(torch.uint8)
            picture = colour.expand(height, width, 3).clone()
            picture[0, : len(indices)] = 255  # one white dot for each panel painted together
            pictures.append(picture)
            progress(done, len(indices), "toy")
        return pictures

    def commit(self, story: Story, index: int, image: Tensor, feed_back: bool = False) -> Story:
        painted = attach_image(story, index, image)
        if not feed_back:
            return painted
        panel = replace(painted.panels[index], features={SPACE: self.encode([image]).tensor[0]})
        return replace(
            painted, panels=(*painted.panels[:index], panel, *painted.panels[index + 1 :])
        )


def open_engine(world: World, host: Host) -> ToyEngine:
    return ToyEngine(world)
