"""Ceilings and floors: truth through parts of a world, and through nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from seedstory_core.errors import SeedStoryError
from seedstory_core.evaluation import references as refs
from seedstory_core.evaluation.evaluate import Judge
from seedstory_core.evaluation.probes import ProbeReader
from seedstory_core.evaluation.sight import PICTURE_ROWS
from seedstory_core.evaluation.starts import guest_starts, held_out_starts
from seedstory_core.picture_world.palette import PALETTE
from seedstory_core.types import ImageFeatures, PaintSettings, WorldRef

FLOOR = 0.6  # of any row that a random picture may hit by chance, as clear weather


def test_exact_pixels_are_counted_in_colours_of_the_palette() -> None:
    truth = PALETTE[np.arange(64 * 64).reshape(1, 64, 64) % len(PALETTE)]
    assert refs.exact_share(truth, truth) == 1
    near = np.clip(truth.astype(int) + 1, 0, 255).astype(np.uint8)
    assert refs.exact_share(near, truth) == 1
    spoilt = truth.copy()
    spoilt[:, :16] = PALETTE[(np.arange(16 * 64).reshape(1, 16, 64) + 5) % len(PALETTE)]
    assert refs.exact_share(spoilt, truth) == 0.75


def test_shuffled_features_leave_no_row_in_its_place() -> None:
    rows = torch.arange(12.0)[:, None, None].expand(12, 2, 2)
    features = ImageFeatures(rows, "s", WorldRef("w", "d"))
    moved = refs.shuffled(features).tensor[:, 0, 0]
    assert (moved != rows[:, 0, 0]).all() and moved.sort().values.tolist() == list(range(12))


def test_pictures_go_through_the_vae_and_rows_are_painted_story_by_story(judge: Judge) -> None:
    judge.painter = replace(judge.painter, settings=PaintSettings(steps=1, guidance=1.0))
    truth = refs.true_pictures(held_out_starts(2, 2))
    back = refs.through_vae(judge.painter.painter, truth[0])
    assert back.shape == truth[0].shape and 0 <= refs.exact_share(back, truth[0]) < 0.5
    features = refs.read_features(judge.engine, truth)
    assert len(features) == 6
    painted = refs.paint_rows(judge.painter, features, [3, 3])
    assert [story.shape for story in painted] == [(3, 64, 64, 3)] * 2


def test_true_renders_are_at_the_ceiling_and_noise_at_the_floor(shipped: ProbeReader) -> None:
    from seedstory_core.evaluation.judge import judge_panels, read_captions

    starts = held_out_starts(6, 10)
    rng = np.random.default_rng(0)
    for low, high, paint in (
        (0.97, 1.0, lambda pictures: pictures),
        (0.0, FLOOR, lambda pictures: PALETTE[rng.integers(0, len(PALETTE), pictures.shape[:3])]),
    ):
        panels = []
        for number, start in enumerate(starts):
            captions = read_captions([start.text, *start.script])
            assert start.pictures is not None
            panels += judge_panels(number, captions, shipped.read(paint(start.pictures)))
        shares = {row: np.mean([panel.rows[row] for panel in panels]) for row in PICTURE_ROWS}
        known = {row: share for row, share in shares.items() if row not in ("prop", "no_stranger")}
        assert all(low <= share <= high for share in known.values()), shares


def test_stories_with_the_guest_begin_with_the_guest() -> None:
    starts = guest_starts(3, 9)
    assert len(starts) == 3 and len({start.text for start in starts}) == 3
    for start in starts:
        assert "Olive" in start.text and len(start.script) == 9 and len(start.scenes) == 10
        assert any(actor.name == "Olive" for actor in start.scenes[0].actors)
        assert start.pictures is not None and start.pictures.shape == (10, 64, 64, 3)
    assert [start.text for start in guest_starts(3, 9)] == [start.text for start in starts]
    with pytest.raises(SeedStoryError, match="--panels 9"):
        guest_starts(1, 25)
