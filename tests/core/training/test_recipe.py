"""Recipes are read back as written, and wrong ones are refused with what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from seedstory_core.errors import SeedStoryError
from seedstory_core.training.recipe import Recipe, StageSettings, read_recipe


def test_round_trip(tiny_recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe = Recipe.from_json(tiny_recipe)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe.to_json()))
    assert read_recipe(path) == recipe
    assert recipe.stage("vae").lr == tiny_recipe["stages"]["vae"]["lr"]
    assert recipe.stage("vae").betas == (0.9, 0.98)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("stages", "vae", "steps"), 0, "steps"),
        (("stages", "vae", "steps"), 1.5, "whole number"),
        (("stages", "vae", "steps"), True, "whole number"),
        (("stages", "vae", "lr"), float("nan"), "lr"),
        (("stages", "vae", "ema"), 1.5, "ema"),
        (("stages", "vae", "betas"), [0.9], "betas"),
        (("stages", "vae", "precision"), "fp8", "bf16"),
        (("stages", "vae", "accumulate"), 3, "divides"),
        (("stages", "vae", "rate"), 3, "wrong fields"),
        (("stages", "vae", "options"), [], "options"),
        (("stages", "vae"), 3, "must be an object"),
        (("stages",), None, "'stages'"),
        (("sizes", "vision", "width"), -1, "vision.width"),
        (("native_size",), 10**9, "native_size"),
        (("colour",), 1, "colour"),
    ],
)
def test_refusals(tiny_recipe: dict[str, Any], where: tuple[str, ...], value: Any, message: str):
    table = tiny_recipe
    for key in where[:-1]:
        table = table[key]
    table[where[-1]] = value
    with pytest.raises(SeedStoryError, match=message):
        Recipe.from_json(tiny_recipe)


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000])
def test_files_that_are_no_recipes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(SeedStoryError):
        read_recipe(path)
    with pytest.raises(SeedStoryError, match="cannot be read"):
        read_recipe(tmp_path / "absent.json")


def test_a_stage_the_recipe_lacks(tiny_recipe: dict[str, Any]) -> None:
    with pytest.raises(SeedStoryError, match="vae"):
        Recipe.from_json(tiny_recipe).stage("llm")


def test_options_have_the_kind_of_their_default() -> None:
    settings = StageSettings(1, 1, options={"noise": 1, "mode": 2, "compile": 1})
    assert settings.option("noise", 0.5) == 1 and settings.option("absent", "x") == "x"
    for name, default in (("mode", "turns"), ("compile", False)):
        with pytest.raises(SeedStoryError, match=name):
            settings.option(name, default)
