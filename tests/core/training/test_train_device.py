"""``train STAGE --device``: where a stage trains, and what is said of it."""

from __future__ import annotations

import argparse

import pytest
import torch

from seedstory_core.cli import train
from seedstory_core.errors import SeedStoryError


def parsed(stage: str, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_parser(parser.add_subparsers())
    return parser.parse_args(["train", stage, "--data", "d", "--recipe", "r", "--run", "f", *more])


@pytest.mark.parametrize("stage", [*train.STAGES, *train.EXTRAS, train.ALL, train.ASSEMBLE])
def test_every_stage_takes_a_device(stage: str) -> None:
    assert train._device(parsed(stage, "--device", "cpu")).type == "cpu"
    assert train._device(parsed(stage, "--cpu")).type == "cpu"


@pytest.mark.parametrize("name", ["nowhere", "cuda:99", "", "xpu:7"])
def test_devices_that_are_not_here_are_named(name: str) -> None:
    with pytest.raises(SeedStoryError, match=r"cannot be used here.*--device cpu"):
        train._device(parsed("vae", "--device", name))


def test_two_wishes_are_refused() -> None:
    with pytest.raises(SeedStoryError, match="contradict"):
        train._device(parsed("vae", "--cpu", "--device", "cuda"))


@pytest.mark.parametrize(
    ("found", "said"), [((False, False, True), True), ((False, False, False), False)]
)
def test_an_xpu_that_is_not_used_is_said(
    found: tuple[bool, bool, bool],
    said: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for module, there in zip((torch.cuda, torch.backends.mps, torch.xpu), found, strict=True):
        monkeypatch.setattr(module, "is_available", lambda there=there: there)
    assert train._device(parsed("vae")).type == "cpu"
    assert ("--device xpu" in capsys.readouterr().out) is said
    assert train._device(parsed("vae", "--cpu")).type == "cpu"
    assert "--device xpu" not in capsys.readouterr().out, "asked for"
