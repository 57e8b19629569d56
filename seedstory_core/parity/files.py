"""Case: checkpoints that lie there in two formats hold the same tensors."""

from __future__ import annotations

from ..weights.reader import open_checkpoint
from .check import Check
from .models import Models

WEIGHTS = ("visual_tokenizer", "agent_pytorch_model", "detokenizer_pytorch_model")


def formats(models: Models, check: Check) -> None:
    for stem in WEIGHTS:
        first, *others = [open_checkpoint(path) for path in models.goldens.find(stem)] or [None]
        for other in others:
            assert first is not None and other is not None
            check.same(f"keys of {other.path.name}", sorted(other.keys()), sorted(first.keys()))
            for key in first.keys():
                check.close(f"{stem}: {key}", other.tensor(key), first.tensor(key), (0.0, 0.0))
