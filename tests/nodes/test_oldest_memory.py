"""The memory of the oldest supported ComfyUI: the same tests, in its process."""

from __future__ import annotations

import pytest
from support.oldest import run_on_oldest


@pytest.mark.slow
def test_kept_rows_and_plans_on_the_oldest_comfyui() -> None:
    run_on_oldest("test_memory_kept.py", "test_memory_plan.py")
