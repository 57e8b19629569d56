"""A card of a chosen size on a machine without one: ComfyUI's own memory management believes in it.

``cpu:0`` is no ``cpu`` to ComfyUI's comparisons, and computes like it. What is free on it follows
from what ComfyUI itself has loaded there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

CARD = torch.device("cpu:0")


class Card:
    """The card.

    Attributes:
        limit: its memory in bytes; may be changed while it is in use.
        most: the most that was ever loaded on it, of what ComfyUI counts.
    """

    def __init__(self, management: Any, limit: int) -> None:
        self._management, self.limit, self.most = management, limit, 0

    def loaded(self) -> dict[str, int]:
        """Bytes of every model on it, by the name of its class."""
        models = [item.model for item in self._management.current_loaded_models]
        return {
            type(model.model).__name__: model.loaded_size()
            for model in models
            if model is not None and model.load_device == CARD
        }

    def free(self, device: Any = None, torch_free_too: bool = False) -> Any:
        """Stands for ``get_free_memory``."""
        used = sum(self.loaded().values())
        self.most = max(self.most, used)
        left = max(0, self.limit - used)
        return (left, left) if torch_free_too else left

    def clear(self) -> None:
        """What ``/free`` does."""
        self._management.free_memory(1e30, CARD)


@contextmanager
def inserted(monkeypatch: pytest.MonkeyPatch, limit: int) -> Iterator[Card]:
    """ComfyUI with a card of ``limit`` bytes, in its normal mode."""
    import comfy.model_management as management

    card = Card(management, limit)
    for name, value in {
        "get_torch_device": lambda: CARD,
        "get_free_memory": card.free,
        "get_total_memory": lambda dev=None, torch_total_too=False: card.limit,
        "is_device_cpu": lambda device: device == torch.device("cpu"),
        "minimum_inference_memory": lambda: 0,
        "extra_reserved_memory": lambda: 0,
        "MIN_WEIGHT_MEMORY_RATIO": 0.0,
        "vram_state": management.VRAMState.NORMAL_VRAM,
    }.items():
        monkeypatch.setattr(management, name, value)
    management.current_loaded_models.clear()
    try:
        yield card
    finally:
        card.clear()
        management.current_loaded_models.clear()
