"""``bench``: the reference's schedule and ours on the same random weights, in one run.

It measures cost, not quality: random weights say nonsense at the same price.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

BROKEN = 1


def add_parser(subparsers: Any) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "bench",
        help="compare the reference's schedule and ours on random weights",
        description="Tells the same story in every mode, panel by panel in turn, and compares. "
        "Exit code 1 when an invariant breaks; times never fail a run.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--scale",
        default="tiny",
        choices=["tiny", "small", "full"],
        help="tiny and small run on a CPU, full (7B) needs CUDA",
    )
    add("--panels", type=int, metavar="N", help="of each story (tiny 24, small 200, full 24)")
    add("--modes", metavar="M,M", help="some modes only; their baselines come along")
    add("--words", type=int, default=50, metavar="L", help="of each caption")
    add("--fp64-panels", type=int, default=24, metavar="N", help="told again in fp64 to compare")
    add("--no-load", action="store_true", help="do not time how models load")
    add("--seed", type=int, default=0, help="of weights and inputs")
    add("--json", type=Path, metavar="FILE", help="where the figures go")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, write, print; 1 if an invariant broke."""
    from ..bench.modes import DEFAULT
    from ..bench.report import broken, markdown
    from ..bench.run import Options, bench
    from ..files import atomic_write_json
    from .progress import Bar

    modes = tuple(args.modes.split(",")) if args.modes else DEFAULT
    options = Options(
        scale=args.scale,
        panels=args.panels,
        modes=modes,
        words=args.words,
        checked=args.fp64_panels,
        load=not args.no_load,
        seed=args.seed,
    )
    bar = Bar("Measuring", 1)
    result = bench(options, bar)
    bar.clear()
    if args.json is not None:
        atomic_write_json(args.json, result)
    print(markdown(result))
    failures = broken(result)
    for failure in failures:
        print(f"broken invariant: {failure}", file=sys.stderr)
    return BROKEN if failures else 0
