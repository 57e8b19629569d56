"""Loops and early checks on the oldest supported ComfyUI: the same tests, in its process."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.comfy_places import ROOT, find_oldest_comfy, oldest_python

SAME = ("test_loop.py", "test_loop_caches.py", "test_early.py")


@pytest.mark.slow  # a second ComfyUI in a second process: half a minute
def test_loops_on_the_oldest_comfyui() -> None:
    tree = find_oldest_comfy()
    if tree is None:  # never required: a machine need not keep old versions
        pytest.skip("not found: ComfyUI 0.3.64 (set COMFYUI_OLDEST_PATH)")
    files = [str(Path(__file__).with_name(name)) for name in SAME]
    ran = subprocess.run(
        [str(oldest_python()), "-m", "pytest", "-q", *files],
        cwd=ROOT,
        env={**os.environ, "COMFYUI_PATH": str(tree), "SEEDSTORY_REQUIRE_COMFYUI": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-4000:]
