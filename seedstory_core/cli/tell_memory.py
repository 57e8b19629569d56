"""The memory plan of ``tell``: printed before anything is loaded, refused when it does not fit."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from ..context import ContextPolicy
from ..sampling import Sampling
from ..types import PaintSettings
from ..world import World

if TYPE_CHECKING:
    from ..memory import Plan

CHOICES = ("auto", "8", "12", "16", "24")
MAPPED_ABOVE = 4 << 30  # bytes; larger models stay in their file on a CPU


def add_options(add: Callable[..., object]) -> None:
    """``--memory`` and ``--plan``."""
    text = "GB of a card to plan for; auto: what is free on it"
    add("--memory", default="auto", choices=CHOICES, help=text)
    add("--plan", action="store_true", help="print the memory plan and stop")


def stays_mapped(world: World, device: torch.device) -> bool:
    """Whether the engine's parts compute from their mapped files, being too large to convert."""
    largest = max((entry.bytes for entry in world.files.values()), default=0)
    return device.type == "cpu" and largest > MAPPED_ABOVE


def planned(
    args: argparse.Namespace,
    world: World,
    device: torch.device,
    dtype: torch.dtype,
    context: ContextPolicy,
    sampling: Sampling,
    settings: PaintSettings,
    panels: int,
) -> ContextPolicy:
    """Print the plan -> the context that fits: ``context``, or a smaller window if none was given.

    Raises:
        SeedStoryError: the run does not fit; or the world is damaged.
    """
    from ..memory import can_plan, render

    if not can_plan(world):
        return context
    plan = plan_of(args, world, device, dtype, context, sampling, settings, panels)
    print(render(plan))
    plan.check()
    return plan.run.context


def plan_of(
    args: argparse.Namespace,
    world: World,
    device: torch.device,
    dtype: torch.dtype,
    context: ContextPolicy,
    sampling: Sampling,
    settings: PaintSettings,
    panels: int,
) -> Plan:
    """What the command will need, held against the machine; ``panels`` after the opening."""
    from ..memory import KnownModel, Run, device_here, library_loading, make_plan
    from ..memory.models import part_weights
    from ..memory.weights import QUANTISED

    known: dict[str, KnownModel] = {}
    if args.quantise != "none":
        weights = part_weights(world, "llm").quantised(args.quantise)
        known["tell"] = KnownModel(weights, precision=args.quantise)
    run = Run(
        context=context,
        panels=panels + 1,
        new_tokens=sampling.max_new_tokens,
        stories=args.futures or 1,
        size=settings.size,
        paint=not args.no_paint,
        pictures=max(1, args.at_once),  # 0: as many as fit, so one at least
    )
    return make_plan(
        world,
        run,
        library_loading(dtype, stays_mapped(world, device)),
        device_here(device),
        args.memory if args.memory == "auto" else f"{args.memory} GB",
        known,
        free_context=args.context is None,
        quantised=tuple(QUANTISED) if args.quantise == "none" else (),
    )
