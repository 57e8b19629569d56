"""The loader's quantise widget on the oldest supported ComfyUI: refused there, with a reason."""

from __future__ import annotations

import os
import subprocess

import pytest
from support.comfy_places import ROOT, find_oldest_comfy, oldest_python


@pytest.mark.slow
def test_quantised_weights_are_refused_on_the_oldest_comfyui() -> None:
    tree = find_oldest_comfy()
    if tree is None:  # never required: a machine need not keep old versions
        pytest.skip("not found: ComfyUI 0.3.64 (set COMFYUI_OLDEST_PATH)")
    ran = subprocess.run(
        [str(oldest_python()), "-m", "pytest", "-q", "tests/nodes/test_quantised.py"],
        cwd=ROOT,
        env={**os.environ, "COMFYUI_PATH": str(tree), "SEEDSTORY_REQUIRE_COMFYUI": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-4000:]
    assert "not found: int8 and 4-bit layers in this ComfyUI" in ran.stdout
