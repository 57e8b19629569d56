"""Sampling values: the two numbers users turn, and their way to JSON and back."""

from __future__ import annotations

import math

import pytest
import torch

from seedstory_core.context import Dense, Window
from seedstory_core.context import restore as restore_context
from seedstory_core.errors import SeedStoryError
from seedstory_core.sampling import (
    Greedy,
    Nucleus,
    Sampling,
    describe,
    restore,
    with_temperature,
)


def test_temperature_zero_is_greedy_and_keeps_the_reference_rule() -> None:
    made = with_temperature(Sampling(max_caption_tokens=7), 0.0, 0.3)
    assert made == Sampling(picker=Greedy(), max_caption_tokens=7)


def test_drawing_never_gives_picture_tokens_a_chance() -> None:
    made = with_temperature(Sampling(), 0.5, 0.8)
    assert made.picker == Nucleus(0.5, 0.8)
    assert made.suppress == -math.inf


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(max_new_tokens=9, stop_at_image=False),
        with_temperature(Sampling(), 1, 1),
    ],
)
def test_sampling_survives_json(sampling: Sampling) -> None:
    assert restore(describe(sampling)) == sampling


@pytest.mark.parametrize("policy", [Dense(), Window(3)])
def test_context_survives_json(policy: Dense | Window) -> None:
    assert restore_context(describe(policy)) == policy


@pytest.mark.parametrize("bad", [{"picker": {"class": "Beam"}}, {"beams": 4}, {"suppress": "much"}])
def test_unknown_sampling_is_refused(bad: dict) -> None:
    with pytest.raises(SeedStoryError, match="Unknown sampling"):
        restore(bad)


def test_nucleus_draws_only_from_the_likeliest() -> None:
    scores = torch.tensor([2.0, 1.9, -3.0, -9.0])
    generator = torch.Generator().manual_seed(0)
    drawn = {Nucleus(1.0, 0.9).pick(scores, generator) for _ in range(200)}
    assert drawn == {0, 1}


def test_the_likeliest_token_stays_when_top_p_is_tiny() -> None:
    generator = torch.Generator().manual_seed(0)
    assert Nucleus(1.0, 0.01).pick(torch.tensor([0.0, 3.0, 1.0]), generator) == 1
