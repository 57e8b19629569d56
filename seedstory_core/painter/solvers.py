"""The samplers the painter can step with, by ComfyUI's names for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ..errors import SeedStoryError
from ..types import PaintSettings


@dataclass(frozen=True)
class Solver:
    """A scheduler class of diffusers, and what it is told beside the world's own settings."""

    scheduler: str
    extra: Mapping[str, Any] = field(default_factory=dict)


#: ``euler`` is the reference's. The others look back one step, so that fewer steps will do.
SOLVERS: Mapping[str, Solver] = {
    "euler": Solver("EulerDiscreteScheduler"),
    "dpmpp_2m": Solver("DPMSolverMultistepScheduler", {"solver_order": 2}),
    "uni_pc": Solver("UniPCMultistepScheduler", {"solver_order": 2}),
}


def open_schedule(settings: PaintSettings, config: Mapping[str, Any]) -> Any:
    """diffusers' scheduler for ``settings``, its time steps not yet set.

    Args:
        config: the world's scheduler settings, in diffusers' keys.

    Raises:
        SeedStoryError: an unknown solver, or a number of steps that cannot be.
    """
    solver = SOLVERS.get(settings.solver)
    if solver is None:
        raise SeedStoryError(
            f"The painter steps with {', '.join(SOLVERS)}, got {settings.solver!r}. ComfyUI has "
            "more samplers."
        )
    diffusers: Any = import_module("diffusers")  # its lazy exports are opaque to type checkers
    kind = getattr(diffusers, solver.scheduler)
    schedule = kind.from_config({**config, **solver.extra})
    limit = schedule.config.num_train_timesteps
    if not 1 <= settings.steps <= limit:
        raise SeedStoryError(f"Painting takes 1 to {limit} steps, got {settings.steps}.")
    return schedule
