"""The recipe of a run: sizes of all models and how each stage is trained; JSON, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..engines.seed_story.config import SeedStoryConfig
from ..errors import SeedStoryError
from ..painter.configs import check_config, check_scheduler
from ..strict_json import read_json

PRECISIONS = ("fp32", "bf16")
MAX_BYTES = 1 << 20  # of a recipe file


@dataclass(frozen=True)
class StageSettings:
    """How one stage is trained; the defaults are SPEC 6's where it has them.

    Attributes:
        steps: optimiser steps.
        batch: samples of one step, over all processes and accumulated parts together.
        warmup: steps over which the learning rate rises from 0.
        min_lr_share: what the cosine ends at, as a share of ``lr``.
        clip: largest norm of the gradient; 0 clips nothing.
        accumulate: parts that the batch is cut into, to save memory.
        ema: decay of the averaged weights, which are the result; 0 keeps no average.
        precision: ``fp32``, or ``bf16`` for mixed precision.
        save_every: steps between two checkpoints.
        options: the stage's own; ``compile: true`` is understood by all.
    """

    steps: int
    batch: int
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    weight_decay: float = 0.05
    warmup: int = 100
    min_lr_share: float = 0.05
    clip: float = 1.0
    accumulate: int = 1
    ema: float = 0.999
    precision: str = "fp32"
    seed: int = 0
    save_every: int = 500
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "save_every"):
            _check(name, getattr(self, name), whole=True, low=1)
        for name in ("warmup", "seed"):
            _check(name, getattr(self, name), whole=True)
        for name in ("lr", "eps", "weight_decay", "clip"):
            _check(name, getattr(self, name))
        for name in ("min_lr_share", "ema"):
            _check(name, getattr(self, name), high=1)
        if not isinstance(self.betas, (list, tuple)) or len(self.betas) != 2:
            raise SeedStoryError(f"betas are two numbers, as [0.9, 0.98], got {self.betas!r}.")
        for beta in self.betas:
            _check("betas", beta, high=1)
        object.__setattr__(self, "betas", tuple(self.betas))
        if self.precision not in PRECISIONS:
            raise SeedStoryError(
                f"precision is {' or '.join(PRECISIONS)}, got {self.precision!r:.80}."
            )
        if self.batch % self.accumulate:
            raise SeedStoryError(
                f"A batch of {self.batch} cannot be cut into {self.accumulate} equal parts; "
                "choose accumulate so that it divides batch."
            )
        if not isinstance(self.options, Mapping):
            raise SeedStoryError(f"options must be an object, got {self.options!r:.80}.")

    def option(self, name: str, default: Any) -> Any:
        """An option of the stage's own, of the type of its default.

        Raises:
            SeedStoryError: the recipe has it with another type.
        """
        value = self.options.get(name, default)
        wanted = (int, float) if isinstance(default, float) else type(default)
        if isinstance(value, bool) != isinstance(default, bool) or not isinstance(value, wanted):
            raise SeedStoryError(
                f"The recipe's option {name!r} must be like {default!r}, got {value!r:.80}."
            )
        return value


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a run learns, besides the data.

    Attributes:
        sizes: of the engine's models.
        vae: configuration of the VAE (``painter.vae`` of world.json without its palette).
        unet: configuration of the UNet, as diffusers has it.
        scheduler: noise schedule, as diffusers has it.
        native_size: side in pixels of the pictures that vision and VAE work on.
        world: title, licence and whatever else the assembled world.json takes.
    """

    sizes: SeedStoryConfig
    vae: Mapping[str, Any]
    unet: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    stages: Mapping[str, StageSettings]
    native_size: int = 64
    world: Mapping[str, Any] = field(default_factory=dict)

    def stage(self, name: str) -> StageSettings:
        """Settings of one stage.

        Raises:
            SeedStoryError: the recipe has no such stage.
        """
        if name not in self.stages:
            raise SeedStoryError(
                f"The recipe has no stage {name!r}; it has {', '.join(self.stages) or 'none'}."
            )
        return self.stages[name]

    @classmethod
    def from_json(cls, data: Any) -> Recipe:
        """Read a recipe.

        Raises:
            SeedStoryError: a field is missing, unknown or of the wrong kind; which one is said.
        """
        if not isinstance(data, Mapping):
            raise SeedStoryError(f"A recipe is a JSON object, got {data!r:.80}.")
        known = [item.name for item in fields(cls)]
        unknown = sorted(set(data) - set(known))
        if unknown:
            raise SeedStoryError(
                f"Unknown in the recipe: {', '.join(unknown)}. Expected {', '.join(known)}."
            )
        for name in known:
            needed = name not in ("native_size", "world")
            if (needed or name in data) and name != "native_size":
                if not isinstance(data.get(name), Mapping):
                    raise SeedStoryError(
                        f"The recipe needs an object {name!r}, got {data.get(name)!r:.80}."
                    )
        size = data.get("native_size", 64)
        _check("native_size", size, whole=True, low=8, high=4096)
        return cls(
            sizes=SeedStoryConfig.from_json(data["sizes"]),
            vae=dict(data["vae"]),
            unet=dict(check_config(data["unet"], "The recipe's unet")),
            scheduler=dict(check_scheduler(data["scheduler"], "The recipe's scheduler")),
            stages={name: _settings(name, value) for name, value in data["stages"].items()},
            native_size=size,
            world=dict(data.get("world", {})),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that `from_json` reads back to an equal value."""
        stages = {}
        for name, value in self.stages.items():
            stages[name] = {**asdict(value), "betas": list(value.betas)}
        return {
            "sizes": self.sizes.to_json(),
            "vae": dict(self.vae),
            "unet": dict(self.unet),
            "scheduler": dict(self.scheduler),
            "stages": stages,
            "native_size": self.native_size,
            "world": dict(self.world),
        }


def read_recipe(path: Path) -> Recipe:
    """The recipe in a JSON file.

    Raises:
        SeedStoryError: no such file, no JSON, or not a recipe.
    """
    data = read_json(path, MAX_BYTES, "Expected a recipe.")
    return Recipe.from_json(data)


def _settings(name: str, data: Any) -> StageSettings:
    if not isinstance(data, Mapping):
        raise SeedStoryError(f"The recipe's stage {name!r} must be an object, got {data!r:.80}.")
    try:
        return StageSettings(**data)
    except TypeError as error:
        raise SeedStoryError(f"The recipe's stage {name!r} has wrong fields: {error}.") from error
    except SeedStoryError as error:
        raise SeedStoryError(f"The recipe's stage {name!r}: {error}") from error


def _check(name: str, value: Any, whole: bool = False, low: float = 0, high: float = 1e12) -> None:
    kinds = int if whole else (int, float)
    good = isinstance(value, kinds) and not isinstance(value, bool)
    if not good or not low <= value <= high or not math.isfinite(value):
        kind = "a whole number" if whole else "a number"
        raise SeedStoryError(f"{name} must be {kind} from {low:g} to {high:g}, got {value!r:.80}.")
