"""What a command needs and cannot import is named, with what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.source import ROOT

BLOCKED = ROOT / "tests" / "support" / "blocked"


def command(blocked: str, *words: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(BLOCKED), "SEEDSTORY_BLOCKED": blocked}
    return subprocess.run(
        [sys.executable, "-m", "seedstory_core", *words],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_painting_names_diffusers(tmp_path: Path) -> None:
    done = command("broken:diffusers", "tell", "--out", str(tmp_path), "--panels", "1")
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "diffusers" in done.stderr and "pip install" in done.stderr


def test_adapting_names_peft(tmp_path: Path) -> None:
    words = ["train", "adapt", "--base", "picture-world", "--data", str(tmp_path)]
    done = command("missing:peft", *words, "--out", str(tmp_path / "out"), "--dry-run")
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "needs the package peft" in done.stderr and "pip install" in done.stderr
