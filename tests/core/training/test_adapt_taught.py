"""What an adaptation takes over from the training of its base, and what it refuses."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from seedstory_core.errors import SeedStoryError
from seedstory_core.training.adapt_settings import AdaptSettings
from seedstory_core.training.adapt_taught import REFERENCE, taught_how
from seedstory_core.training.estimate import official_world
from seedstory_core.types import freeze
from seedstory_core.world import World

LLM = {"mode": "turns", "window": 9, "say_end": False, "self_fed": 0.7, "rec_weight": 5}
PAINTER = {"high_noise": 0.55, "feature_noise": 0.08, "compile": True}


def recipe(llm: Any = LLM, painter: Any = PAINTER) -> dict[str, Any]:
    stages = {"llm": {"options": llm}, "detokenizer": {"options": painter}}
    return {"recipe": {"stages": stages}}


def made_by(world: World, provenance: Mapping[str, Any]) -> World:
    return replace(world, provenance=freeze(provenance))


def test_options_of_the_base_become_those_of_its_adaptation(tiny_world: World):
    taught = taught_how(made_by(tiny_world, recipe()))
    settings = AdaptSettings(window=5)
    told = settings.telling(False, taught)
    assert told.options == {"say_end": False, "self_fed": 0.7, "rec_weight": 5.0, "window": 5}
    painted = settings.painting(False, taught)
    assert painted.options == {"high_noise": 0.55, "feature_noise": 0.08, "drop": 0.1}


def test_an_adapted_base_is_asked_for_its_own_base(tiny_world: World):
    once = {"made_by": "seedstory train adapt", "base": {"provenance": recipe()}}
    twice = {"base": {"provenance": once}}
    for provenance in (once, twice):
        assert taught_how(made_by(tiny_world, provenance)).llm["self_fed"] == 0.7


@pytest.mark.parametrize(
    "provenance",
    [{}, {"recipe": 3}, {"recipe": {"stages": []}}, {"base": "x"}, recipe(None, {"steps": 3})],
)
def test_worlds_that_do_not_say_are_trained_as_the_reference(tiny_world: World, provenance: Any):
    assert taught_how(made_by(tiny_world, provenance)) == REFERENCE
    assert taught_how(official_world()) == REFERENCE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("say_end", 1),
        ("self_fed", 1.5),
        ("self_fed", True),
        ("rec_weight", float("nan")),
        ("rec_weight", -1),
        ("feature_noise", "0.1"),
        ("from_start", 10**400),
    ],
)
def test_values_that_no_training_can_have_had_are_refused(tiny_world: World, name: str, value: Any):
    with pytest.raises(SeedStoryError, match=rf"llm\.options\.{name} .*expected"):
        taught_how(made_by(tiny_world, recipe({name: value})))
