"""What every training stage offers to the loop, and where a stage finds what it needs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from ..errors import SeedStoryError
from .recipe import Recipe, StageSettings

#: Called as ``progress(done, total, note)``; may raise to stop, which leaves a checkpoint.
Progress = Callable[[int, int, str], None]
T = TypeVar("T")


class Stage(Protocol):
    """One model in training.

    A stage file of this package is named after its command (``adapt-detokenizer`` is
    ``adapt_detokenizer.py``) and has ``build(job: Job) -> Stage``; a step without a loop, such as
    ``assemble``, has ``run(job: Job) -> None`` instead.

    Attributes:
        name: the command's name and the folder's, as ``adapt-detokenizer``.
        module: what is trained; parameters that need no gradient stay as they are.
            ``forward(batch)`` takes what `batch` gives and returns scalars, ``loss`` among them.
            Parts that are only looked up (frozen encoders, caches) stay outside of it.
    """

    name: str
    module: nn.Module

    def batch(self, step: int, rank: int, size: int) -> dict[str, Tensor]:
        """Part ``rank`` of ``size`` equal parts of the batch of ``step``, on the CPU.

        All randomness is drawn here (which samples, noise, times), from `generator_of` alone, for
        the whole batch of ``settings.batch`` samples, of which `part` is returned: so a resumed
        run needs no generator's state, and neither accumulation nor more processes change what is
        learnt.
        """
        ...

    def check(self, module: nn.Module) -> dict[str, float]:
        """Figures on held-out data, asked for at every checkpoint with the EMA weights in place.

        ``module`` is in evaluation mode, under `torch.no_grad`. Return ``{}`` for none.
        """
        ...

    def result(self, module: nn.Module) -> dict[str, Mapping[str, Tensor]]:
        """``{stem: state}`` to write as ``<stem>.safetensors``; ``module`` has the EMA weights."""
        ...


@dataclass(frozen=True)
class Job:
    """Where a stage reads and writes.

    Attributes:
        data: folder in the StoryStream layout, or of pictures with caption files.
        run: the run's folder: ``run/<stage>/`` for results, ``run/cache/`` for what can be redone.
        device: where frozen models compute while a cache is made.
        out: folder of the assembled world; ``run/world`` if None.
    """

    recipe: Recipe
    data: Path
    run: Path
    progress: Progress
    device: torch.device = torch.device("cpu")
    out: Path | None = None

    def settings(self, stage: str) -> StageSettings:
        return self.recipe.stage(stage)

    def folder(self, stage: str) -> Path:
        return self.run / stage

    def cache(self) -> Path:
        return self.run / "cache"

    def result(self, stage: str, stem: str) -> Path:
        """A file that an earlier stage wrote.

        Raises:
            SeedStoryError: the stage has not ended.
        """
        path = self.run / stage / f"{stem}.safetensors"
        if not path.is_file():
            raise SeedStoryError(
                f"There is no {path}: stage {stage!r} has not ended. Run `seedstory train {stage}` "
                "first, or with --finish to take its newest checkpoint."
            )
        return path


def quiet(done: int, total: int, note: str = "") -> None:
    """The `Progress` of callers who want none."""


def generator_of(*key: int | str) -> torch.Generator:
    """A CPU generator that depends on ``key`` alone, as ``(seed, "llm", step)``."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def part(whole: Tensor, rank: int, size: int) -> Tensor:
    """Every ``size``-th row of ``whole`` from ``rank`` on; [B, ...] -> [B / size, ...]."""
    return whole[rank::size]
