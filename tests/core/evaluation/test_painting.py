"""Painting panels in batches gives what painting one after the other gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from seedstory_core.errors import SeedStoryError
from seedstory_core.evaluation.evaluate import Judge, paint_settings, painter_identity
from seedstory_core.evaluation.painting import PanelPainter, shrink
from seedstory_core.images import enlarge
from seedstory_core.types import ImageFeatures, PaintSettings
from seedstory_core.world import World

SEEDS = [5, 6, 7, 8, 9]


@pytest.fixture()
def features(judge: Judge) -> ImageFeatures:
    generator = torch.Generator().manual_seed(0)
    pictures = [
        torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8, generator=generator) for _ in SEEDS
    ]
    return judge.engine.encode(pictures)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_batch_equals_single_panels(
    judge: Judge, features: ImageFeatures, guidance: float
) -> None:
    settings = PaintSettings(steps=2, guidance=guidance)
    together = replace(judge.painter, settings=settings, at_once=4).paint(features, SEEDS)
    assert together.shape == (5, 64, 64, 3) and together.dtype == np.uint8
    single = replace(judge.painter, settings=settings, at_once=1).paint(features, SEEDS)
    apart = np.abs(together.astype(int) - single.astype(int))
    assert apart.max() <= 1  # rounding of sums in another order
    assert (single[0] != single[1]).any()


def test_it_is_the_painters_own_picture(judge: Judge, features: ImageFeatures) -> None:
    """As `Painter.paint` paints a panel, except for how sums are ordered."""
    settings = PaintSettings(steps=2, guidance=2.0, seed=6)
    ours = replace(judge.painter, settings=settings).paint(features, SEEDS)[1]
    painter = judge.painter.painter
    row = replace(features, tensor=features.tensor[1:2])
    noise = painter.noise(6, painter.size)
    latents = painter.sample(judge.engine.condition_features(row), noise, settings)
    theirs = ((painter.decode(latents)[0] / 2 + 0.5).clamp(0, 1) * 255).round()
    apart = np.abs(theirs.permute(1, 2, 0).numpy() - ours)
    assert apart.max() <= 1


def test_progress_counts_every_step_and_can_stop(judge: Judge, features: ImageFeatures) -> None:
    painter = replace(judge.painter, settings=PaintSettings(steps=2), at_once=2)
    seen: list[tuple[int, int]] = []
    painter.paint(features, SEEDS, lambda done, total, note="": seen.append((done, total)))
    assert seen[-1] == (10, 10) and [done for done, _ in seen] == sorted(done for done, _ in seen)

    class Stop(Exception):
        pass

    def stop(done: int, total: int, note: str = "") -> None:
        raise Stop

    with pytest.raises(Stop):
        painter.paint(features, SEEDS, stop)


def test_every_picture_needs_a_seed(judge: Judge, features: ImageFeatures) -> None:
    with pytest.raises(SeedStoryError, match="as many seeds"):
        judge.painter.paint(features, SEEDS[:2])
    assert judge.painter.paint(replace(features, tensor=features.tensor[:0]), []).shape[0] == 0


def test_shrinking_undoes_exact_enlarging() -> None:
    picture = torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8)
    for factor in (1, 2, 3, 8):
        shrunk = shrink(enlarge(picture, factor)[None])
        assert (shrunk[0] == picture.numpy()).all()
    with pytest.raises(SeedStoryError, match="multiples of 64"):
        shrink(torch.zeros(1, 100, 64, 3, dtype=torch.uint8))


def test_the_worlds_own_settings(world: World, judge: Judge, tmp_path: Path) -> None:
    assert paint_settings(world).steps == 12 and paint_settings(world).guidance == 7.5
    own: Mapping[str, object] = {"paint": {"steps": 3, "guidance": 1}}
    changed = paint_settings(replace(world, defaults=own))
    assert (changed.steps, changed.guidance) == (3, 1)
    assert isinstance(judge.painter, PanelPainter)


def test_painters_are_told_apart(world: World) -> None:
    """By their files, their colours and their steps; not by what tells."""
    other = replace(world.files["vae"], sha256="0" * 64)
    llm = replace(world.files["llm"], sha256="0" * 64)
    assert world.painter is not None
    changes: list[tuple[str, object, bool]] = [
        ("files", {**world.files, "vae": other}, True),
        ("files", {**world.files, "llm": llm}, False),
        ("painter", {**world.painter, "vae": {"palette": [[0, 0, 0]]}}, True),
        ("defaults", {"paint": {"steps": 3}}, True),
        ("title", "Another", False),
    ]
    for name, value, differs in changes:
        changed = replace(world, **{name: value})  # type: ignore[arg-type]
        assert (painter_identity(changed) != painter_identity(world)) == differs, name
