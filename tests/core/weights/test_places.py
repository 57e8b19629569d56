"""Where models are looked for."""

from pathlib import Path

import pytest

from seedstory_core.weights import places


def test_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Given, named by environment, ComfyUI's own, the working folder."""
    comfy = tmp_path / "comfy"
    (comfy / "models").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "nobody"))
    monkeypatch.setenv("COMFYUI_PATH", str(comfy))
    monkeypatch.setenv("SEEDSTORY_MODELS", str(tmp_path / "named"))
    assert places.models_folder(tmp_path / "given") == tmp_path / "given"
    assert places.models_folder() == tmp_path / "named"
    monkeypatch.delenv("SEEDSTORY_MODELS")
    assert places.models_folder() == comfy / "models"
    monkeypatch.delenv("COMFYUI_PATH")
    if places.__file__ and "custom_nodes" not in Path(places.__file__).parts:
        assert places.models_folder() == Path("models")


def test_worlds_are_looked_for_in_and_below_the_models_folder(tmp_path: Path):
    assert places.world_roots(tmp_path)[:2] == [tmp_path / "seedstory", tmp_path]
    assert places.world_roots(tmp_path)[2].name == "worlds"
