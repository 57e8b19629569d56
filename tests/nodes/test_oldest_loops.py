"""Loops and early checks on the oldest supported ComfyUI: the same tests, in its process."""

from __future__ import annotations

import pytest
from support.oldest import run_on_oldest


@pytest.mark.slow  # a second ComfyUI in a second process: half a minute
def test_loops_on_the_oldest_comfyui() -> None:
    run_on_oldest("test_loop.py", "test_loop_caches.py", "test_early.py")
