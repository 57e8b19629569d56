"""The drawn worlds' painter on the oldest supported ComfyUI: the same tests, in its process."""

from __future__ import annotations

import pytest
from support.oldest import run_on_oldest


@pytest.mark.slow
def test_drawn_worlds_paint_on_the_oldest_comfyui() -> None:
    run_on_oldest("test_palette_painter.py", "test_world_controlnet.py")
