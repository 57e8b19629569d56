"""``doctor``: what is there, missing, damaged or unknown, and what this machine can run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..doctor import Finding
    from ..world import World

NO_WORLD = 1


def add_parser(subparsers: Any) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "doctor",
        help="what is there, missing or damaged, and what this machine can run",
        description="Looks at a models folder. Exit code 0 when a world can be used, else 1.",
    )
    parser.add_argument("--models", type=Path, help="ComfyUI's models folder (found if not given)")
    parser.add_argument("--deep", action="store_true", help="read and hash every file (minutes)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the report; 0 when a usable world is there."""
    from .. import doctor
    from ..machine import Machine
    from ..weights.places import models_folder

    models = models_folder(args.models).resolve()
    print(f"Models folder: {models}{'' if models.is_dir() else ' (does not exist)'}\n")
    worlds = doctor.examine_worlds(models, args.deep)
    machine = Machine.here(models)
    for report in worlds:
        verdict = "usable" if report.usable else "NOT usable"
        print(f"World {report.name} ({report.folder}): {verdict}")
        if report.world is not None:
            print(f"    terms: {report.world.licence}")
        _print_table(list(report.findings))
        if report.world is not None and report.world.notice:
            print(f"    note: {report.world.notice}")
        if report.world is not None and report.usable:
            print("\n".join(f"    {line}" for line in _fitting(report.world)))
        print()
    outside = doctor.examine_outside(models, args.deep)
    print("Official SEED-Story files (for converting only, and the SDXL base to paint with them)")
    _print_table(outside)
    print(f"\nThis machine: {machine.describe()}")
    if any(report.usable for report in worlds):
        return 0
    print(f"\nNo usable world. Next: {doctor.next_command(models, outside)}")
    return NO_WORLD


def _fitting(world: World) -> list[str]:
    """How this machine runs ``world`` under ComfyUI, phase by phase."""
    import torch

    from ..errors import SeedStoryError
    from ..memory import (
        Run,
        can_plan,
        comfy_loading,
        default_context,
        device_here,
        make_plan,
        table,
    )
    from .places import device_of

    if not can_plan(world):
        return []
    device = device_of("auto")
    gpu = device.type != "cpu"
    half = torch.float16 if gpu else torch.float32
    loading = comfy_loading(half, half, torch.bfloat16 if gpu else half)
    try:
        plan = make_plan(world, Run(context=default_context(world)), loading, device_here(device))
    except SeedStoryError as error:
        return [str(error)]
    return [*table.rows(plan), *([plan.problem] if plan.problem else []), *plan.advice]


def _print_table(findings: list[Finding]) -> None:
    from ..files import human

    width = max((len(item.name) for item in findings), default=0)
    for item in findings:
        size = human(item.bytes) if item.bytes else "-"
        print(f"    {item.name:<{width}}  {item.state:<10} {size:>10}  {item.licence}")
        if item.problem:
            print(f"        {item.problem}")
        if item.advice:
            print(f"        -> {item.advice}")
