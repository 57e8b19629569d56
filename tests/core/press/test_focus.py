"""Crops keep the part of a picture where most is drawn."""

import pytest
import torch

from seedstory_core.press.focus import focus
from seedstory_core.press.sheets import Rect


def drawn(top: int, left: int) -> torch.Tensor:
    """A plain sky with a chequered figure of 24 pixels, uint8 [128, 128, 3]."""
    picture = torch.full((128, 128, 3), 200, dtype=torch.uint8)
    board = (torch.arange(24)[:, None] // 3 + torch.arange(24) // 3) % 2
    picture[top : top + 24, left : left + 24] = (board * 255).to(torch.uint8)[..., None]
    return picture


@pytest.mark.parametrize("place", [0, 30, 52, 80, 104])
@pytest.mark.parametrize("tall", [False, True])
def test_a_figure_stays_whole_wherever_it_stands(place: int, tall: bool):
    picture = drawn(52, place) if tall else drawn(place, 52)
    crop = Rect(0, 0, 50, 100) if tall else Rect(0, 0, 100, 50)
    whole = crop.around(128, 128, focus(picture, crop.w, crop.h))
    scale = whole.w / 128
    start = (whole.x if tall else whole.y) + place * scale
    end, room = start + 24 * scale, crop.w if tall else crop.h
    assert start >= -scale and end <= room + scale, (start, end)  # within a pixel of it


def test_a_plain_picture_is_cut_in_its_middle():
    plain = torch.full((64, 64, 3), 90, dtype=torch.uint8)
    crop = Rect(0, 0, 30, 60)
    across, down = focus(plain, crop.w, crop.h)
    assert down == 0.5 and abs(across - 0.5) < 0.02


def test_nothing_is_moved_where_nothing_is_cut():
    assert focus(drawn(0, 0), 10, 10) == (0.5, 0.5)
