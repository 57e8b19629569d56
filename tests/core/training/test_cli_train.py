"""``seedstory train``: stages by name, stopped, resumed and finished from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from seedstory_core.cli import USER_ERROR, main


@pytest.fixture
def words(tiny_recipe: dict[str, Any], story_folder: Path, tmp_path: Path) -> list[str]:
    """What every call has in common."""
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(tiny_recipe))
    folders = ["--data", story_folder, "--recipe", recipe, "--run", tmp_path / "run"]
    return [*map(str, folders), "--cpu"]


def test_a_stage_is_stopped_finished_and_resumed(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "run" / "vision" / "vision.safetensors"
    assert main(["train", "vision", *words, "--max-steps", "2"]) == 0
    assert "--resume goes on" in capsys.readouterr().out and not result.exists()
    assert main(["train", "vision", *words, "--max-steps", "3"]) == USER_ERROR
    assert "--resume" in capsys.readouterr().err
    assert main(["train", "vision", *words, "--finish"]) == 0
    assert str(result) in capsys.readouterr().out
    interim = result.read_bytes()
    assert main(["train", "vision", *words, "--resume"]) == 0
    assert "vision 80/80" in capsys.readouterr().out
    assert result.read_bytes() != interim


def test_all_goes_through_the_stages_of_the_recipe_in_order(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "all", *words, "--max-steps", "1"]) == 0
    said = capsys.readouterr().out
    assert "vae has not ended" in said and "vision" not in said
    assert not (tmp_path / "run" / "vision").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"--data": "/nowhere"}, "no folder"),
        ({"--recipe": "/nowhere.json"}, "cannot be read"),
        ({"--max-steps": "0"}, "--max-steps"),
        ({"--time-limit": "-1"}, "--time-limit"),
    ],
)
def test_errors(
    words: list[str], changed: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = [word for pair in changed.items() for word in pair]
    assert main(["train", "vision", *words, *extra]) == USER_ERROR
    assert message in capsys.readouterr().err


def test_a_stage_before_its_time_says_what_to_run(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "vae-decoder", *words]) == USER_ERROR
    assert "seedstory train vae" in capsys.readouterr().err
