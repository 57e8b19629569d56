"""``tell`` says what it needs before it begins, and begins nothing that would not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

import seedstory_core.memory
from seedstory_core.cli import main
from seedstory_core.memory import Device

PICTURE_WORLD = Path(__file__).parents[3] / "worlds" / "picture-world"


def tell(out: Path, *more: str) -> int:
    return main(["tell", "--world", str(PICTURE_WORLD), "--out", str(out), *more])


def test_plan_prints_and_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "story"
    assert tell(out, "--plan", "--memory", "8", "--context", "window:4") == 0
    text = capsys.readouterr().out
    assert "preset 8 GB: " in text and "Context: Window(size=4)" in text and "It fits." in text
    for phase in ("see", "tell", "condition", "paint", "decode"):
        assert f"\n{phase} " in text
    assert not out.exists()


def test_without_painting_the_painter_is_not_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tell(tmp_path / "story", "--plan", "--no-paint") == 0
    text = capsys.readouterr().out
    assert "\ntell " in text and "\npaint " not in text


def test_what_would_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = Device("a very small card", 30 << 20, 30 << 20)
    monkeypatch.setattr(seedstory_core.memory, "device_here", lambda device: tiny)
    out = tmp_path / "story"
    assert tell(out, "--context", "dense", "--panels", "900", "--yes") == 2
    said = capsys.readouterr()
    assert "DOES NOT FIT" in said.out
    assert "would not fit" in said.err and "30.0 MB of 30.0 MB can be used" in said.err
    assert "Traceback" not in said.err and not out.exists()


def test_futures_and_pictures_at_once_are_planned_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def column(name: str, *more: str) -> list[str]:
        assert tell(tmp_path / "story", "--plan", *more) == 0
        lines = capsys.readouterr().out.splitlines()
        return next(line for line in lines if line.startswith(f"{name} ")).split()

    alone = column("tell"), column("paint")
    many = ("--futures", "3", "--at-once", "4")
    together = column("tell", *many), column("paint", *many)
    assert alone[0][:5] == together[0][:5] and alone[0][5] != together[0][5]  # weights, not KV
    assert alone[1] != together[1]
