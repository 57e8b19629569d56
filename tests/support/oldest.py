"""Test files run once more on the oldest supported ComfyUI, in a process of its own."""

from __future__ import annotations

import os
import subprocess

import pytest

from .comfy_places import ROOT, find_oldest_comfy, oldest_python


def run_on_oldest(*names: str) -> str:
    """Run files of tests/nodes there, which must pass; what pytest printed."""
    tree = find_oldest_comfy()
    if tree is None:  # never required: a machine need not keep old versions
        pytest.skip("not found: ComfyUI 0.3.64 (set COMFYUI_OLDEST_PATH)")
    ran = subprocess.run(
        [str(oldest_python()), "-m", "pytest", "-q", *(f"tests/nodes/{name}" for name in names)],
        cwd=ROOT,
        env={**os.environ, "COMFYUI_PATH": str(tree), "SEEDSTORY_REQUIRE_COMFYUI": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-4000:]
    return ran.stdout
