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
        Sampling(no_repeat_story=8),
    ],
)
def test_sampling_survives_json(sampling: Sampling) -> None:
    assert restore(describe(sampling)) == sampling


def test_what_older_versions_wrote_compares_equal() -> None:
    old = {
        "class": "Sampling",
        "picker": {"class": "Greedy"},
        "repetition_penalty": 1.0,
        "no_repeat_ngram": 0,
        "max_caption_tokens": 0,
        "max_new_tokens": 500,
        "stop_at_image": True,
        "suppress": 0.0,
    }
    assert restore(old) == Sampling() and describe(Sampling()) == old
    assert describe(Sampling(no_repeat_story=8)) == {**old, "no_repeat_story": 8}


def test_the_rule_on_the_story_stays_whatever_the_temperature() -> None:
    for temperature in (0.0, 0.7):
        made = with_temperature(Sampling(no_repeat_story=8), temperature, 0.9)
        assert made.no_repeat_story == 8


@pytest.mark.parametrize("rule", ["no_repeat_ngram", "no_repeat_story", "max_caption_tokens"])
def test_negative_counts_are_refused(rule: str) -> None:
    with pytest.raises(SeedStoryError, match=rule):
        Sampling(**{rule: -1})  # type: ignore[arg-type]


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
