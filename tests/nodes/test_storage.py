"""What hosts are told of the disk that weights lie on."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATH = Path("/somewhere/weights.safetensors")


class Older:
    """As classes of ComfyUI up to 0.35."""

    def __init__(self, model: Any, load_device: Any = None) -> None:
        pass


class Newer(Older):
    """As since 0.36, which does not run here: its source was read."""

    def __init__(self, model: Any, load_device: Any = None, fast_disk: bool = False) -> None:
        pass


class Inherits(Newer):
    """As ``ModelPatcherDynamic``, whose constructor is inherited."""


@pytest.fixture()
def asked(comfy_here: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the newer host's module, here one that says yes, is asked."""
    seen: list[Any] = []
    module = ModuleType("comfy.storage")
    module.model_fast_disk = lambda paths: not seen.append(paths)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "comfy.storage", module)
    return seen


def disk_of(pack: ModuleType) -> Any:
    return import_module(f"{pack.__name__}.nodes.host.storage").disk_of


def test_classes_that_take_it_are_told(pack: ModuleType, asked: list[Any]) -> None:
    for kind in (Newer, Inherits):
        assert disk_of(pack)(kind, PATH) == {"fast_disk": True}
    assert asked == [[str(PATH)]] * 2


def test_others_are_not(pack: ModuleType, asked: list[Any]) -> None:
    assert disk_of(pack)(Older, PATH) == {} and asked == []


def test_a_host_without_the_module_is_not(pack: ModuleType, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "comfy.storage", None)  # as where it is not installed
    assert disk_of(pack)(Newer, PATH) == {}
