"""Edges: Canny's laws on pictures whose edges are known, and how agreement counts."""

import random

import numpy as np
import torch
from einops import rearrange

from seedstory_core.evaluation.probe_data import draw_scene
from seedstory_core.painter.edges import agreement, canny, hints
from seedstory_core.picture_world.render import draw_freedom, render, rgb


def renders(count: int, seed: int = 0) -> torch.Tensor:
    """[count, 3, 64, 64] of 0..1."""
    rng = random.Random(seed)
    drawn = [rgb(render(draw_scene(rng), draw_freedom(rng))) for _ in range(count)]
    return rearrange(torch.from_numpy(np.stack(drawn)).float() / 255, "b h w c -> b c h w")


def test_a_step_is_one_line() -> None:
    pictures = torch.zeros(1, 3, 64, 64)
    assert canny(pictures).sum() == 0 and canny(pictures + 0.7).sum() == 0
    pictures[..., 32:] = 1
    edges = canny(pictures)
    assert edges.shape == (1, 1, 64, 64)
    assert (edges.sum(-1) == 1).all() and edges[..., 31:33].sum() == 64
    turned = canny(pictures.mT)
    assert (turned.sum(-2) == 1).all()
    assert hints(edges).shape == (1, 3, 64, 64)


def test_a_faint_line_goes_on_from_a_strong_one_only() -> None:
    pictures = torch.zeros(1, 3, 64, 64)
    pictures[..., 32:] = 0.25  # too faint to begin, steep enough to go on
    assert canny(pictures).sum() == 0
    pictures[..., 32:] = torch.linspace(1, 0.25, 64)[:, None]
    assert (canny(pictures)[..., 30:34].sum(-1) == 1).all()


def test_higher_thresholds_keep_less() -> None:
    pictures = renders(8)
    kept = [canny(pictures, low, 2 * low) for low in (0.1, 0.4, 0.7)]
    for more, less in zip(kept, kept[1:], strict=False):
        assert (less <= more).all() and 0 < less.sum() < more.sum()


def test_pictures_do_not_disturb_each_other() -> None:
    pictures = renders(3)
    low = torch.tensor([0.1, 0.4, 0.6])
    together = canny(pictures, low, 2 * low)
    for at in range(3):
        alone = canny(pictures[at : at + 1], float(low[at]), 2 * float(low[at]))
        assert agreement(together[at : at + 1], alone, within=0) > 0.99
    assert ((together == 0) | (together == 1)).all()


def test_agreement() -> None:
    edges = canny(renders(6))
    assert (agreement(edges, edges, within=0) == 1).all()
    moved = edges.roll(1, -1)
    inner = slice(2, -2)
    assert (agreement(moved[..., inner], edges[..., inner]) > 0.97).all()
    assert (agreement(moved, edges, within=0) < 0.9).all()
    assert (agreement(torch.zeros_like(edges), edges) == 0).all()
    other = agreement(edges.roll(1, 0), edges)
    assert (other < 0.9).all() and (other > 0).all()
