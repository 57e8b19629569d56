"""The loader's quantise widget on the oldest supported ComfyUI: refused there, with a reason."""

from __future__ import annotations

import pytest
from support.oldest import run_on_oldest


@pytest.mark.slow
def test_quantised_weights_are_refused_on_the_oldest_comfyui() -> None:
    said = run_on_oldest("test_quantised.py")
    assert "not found: int8 and 4-bit layers in this ComfyUI" in said
