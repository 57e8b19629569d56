"""Panels that are steered: what is painted of them, and what can be read in the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange
from torch import Tensor, nn

from ..images import from_vae
from ..painter.edges import canny
from ..picture_world.palette import PALETTE
from ..picture_world.render import layout, render
from ..picture_world.scene import PLACES, Freedom, Scene
from ..types import Cond, Conditioning, ImageFeatures, Progress, no_progress
from .painting import PanelPainter, Pixels, shrink
from .probe_net import COLUMN
from .references import nearest
from .sight import KNOWN

FALL = 0.1  # by how much a probability may fall and still count as rising
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shown:
    """One true panel.

    Attributes:
        story: its number, from 0.
    """

    story: int
    scene: Scene
    freedom: Freedom

    def picture(self, scene: Scene | None = None) -> Pixels:
        """uint8 [64, 64, 3] of this scene, or of another one drawn in the same way."""
        return PALETTE[render(self.scene if scene is None else scene, self.freedom)]


@dataclass(frozen=True, eq=False)
class Sample:
    """True panels with what the visual tokenizer reads in them.

    Attributes:
        pictures: uint8 [N, 64, 64, 3].
        seeds: of each panel's noise.
    """

    panels: list[Shown]
    pictures: Pixels
    features: ImageFeatures
    seeds: list[int]

    def __getitem__(self, rows: Sequence[int]) -> Sample:
        rows = list(rows)
        features = replace(self.features, tensor=self.features.tensor[rows])
        panels, seeds = [self.panels[row] for row in rows], [self.seeds[row] for row in rows]
        return Sample(panels, self.pictures[rows], features, seeds)

    @property
    def stories(self) -> list[int]:
        return [panel.story for panel in self.panels]


def averaged(first: Conditioning, last: Conditioning, share: float) -> Conditioning:
    """``first`` at 0, ``last`` at 1, tokens and pooled vectors alike."""

    def between(one: Sequence[Cond], two: Sequence[Cond]) -> tuple[Cond, ...]:
        return tuple(
            replace(
                a,
                tokens=torch.lerp(a.tokens, b.tokens, share),
                pooled=None
                if a.pooled is None or b.pooled is None
                else torch.lerp(a.pooled, b.pooled, share),
            )
            for a, b in zip(one, two, strict=True)
        )

    return Conditioning(
        between(first.positive, last.positive), between(first.negative, last.negative)
    )


def with_unet(painter: PanelPainter, unet: nn.Module) -> PanelPainter:
    """The same painter with another UNet."""
    return replace(painter, painter=replace(painter.painter, unet=unet))


def paint_conditioning(
    painter: PanelPainter,
    conditioning: Conditioning,
    seeds: Sequence[int],
    progress: Progress = no_progress,
) -> Pixels:
    """Conditioning of N pictures and N noise seeds -> uint8 [N, 64, 64, 3]."""
    pictures = []
    for start in range(0, len(seeds), painter.at_once):
        progress(start, len(seeds))
        rows = slice(start, min(start + painter.at_once, len(seeds)))
        noise = torch.cat([painter.painter.noise(s, painter.painter.size) for s in seeds[rows]])
        ways = (conditioning.positive, conditioning.negative)
        some = Conditioning(*(tuple(_rows(cond, rows) for cond in way) for way in ways))
        latents = painter.painter.sample(some, noise, painter.settings)
        pictures.append(shrink(torch.stack(from_vae(painter.painter.decode(latents)))))
    return np.concatenate(pictures)


def _rows(cond: Cond, rows: slice) -> Cond:
    pooled = None if cond.pooled is None else cond.pooled[rows]
    return replace(cond, tokens=cond.tokens[rows], pooled=pooled)


def colours(pictures: Pixels) -> Values:
    """uint8 [N, 64, 64, 3] -> share of each colour of the palette [N, C]."""
    near = rearrange(nearest(pictures), "n h w -> n (h w)")
    return np.stack([np.bincount(row, minlength=len(PALETTE)) for row in near]) / near.shape[1]


def apart(one: Values, two: Values) -> Values:
    """Share of the pixels [N] that would have to change colour to make both histograms alike."""
    return np.abs(one - two).sum(1) / 2


def edges_of(pictures: Pixels) -> Tensor:
    """uint8 [N, 64, 64, 3] -> edges [N, 1, 64, 64]."""
    return canny(rearrange(torch.from_numpy(pictures).float() / 255, "n h w c -> n c h w"))


def columns_right(said: Mapping[str, Tensor], panels: Sequence[Shown]) -> list[bool]:
    """Does everybody of each panel stand in the very column of cells of the true picture?"""
    columns, present = said[COLUMN].argmax(-1), said["present"][..., 1] > 0.5
    right = []
    for row, panel in enumerate(panels):
        truth, _ = layout(panel.scene, panel.freedom)
        who = [KNOWN.index(actor.name) for actor in panel.scene.actors]
        places = zip(who, truth, strict=True)
        right.append(all(present[row, k] and columns[row, k] == place for k, place in places))
    return right


def pairs_of(panels: Sequence[Shown]) -> list[tuple[int, int]]:
    """Pairs of panels that share neither the place nor anybody; each panel is in one at most."""
    left, pairs = list(range(len(panels))), []
    while left:
        first = left.pop(0)
        names = {actor.name for actor in panels[first].scene.actors}
        for second in left:
            other = panels[second].scene
            shared = names & {actor.name for actor in other.actors}
            if other.place != panels[first].scene.place and not shared:
                pairs.append((first, second))
                left.remove(second)
                break
    return pairs


def probability_of(said: Mapping[str, Tensor], panels: Sequence[Shown]) -> dict[str, Values]:
    """How sure the probes are of each panel's place, and of its actors (their mean), [N]."""
    place, actors = [], []
    for row, panel in enumerate(panels):
        place.append(float(said["place"][row, PLACES.index(panel.scene.place)]))
        who = [KNOWN.index(actor.name) for actor in panel.scene.actors]
        actors.append(float(said["present"][row, who, 1].mean()))
    return {"place": np.array(place), "actors": np.array(actors)}


def rises(seen: Sequence[Mapping[str, Values]], what: str) -> list[bool]:
    """Does the second panel come up and the first go down, from share to share, in each pair?"""
    up = np.diff(np.stack([values[f"{what}_second"] for values in seen]), axis=0)
    down = np.diff(np.stack([values[f"{what}_first"] for values in seen]), axis=0)
    return np.all((up >= -FALL) & (down <= FALL), axis=0).tolist()
