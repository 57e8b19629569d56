"""``parity DIR``: compare this library with recorded results of the reference."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..parity.check import Check


def add_parser(subparsers: Any) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "parity",
        help="compare every stage with recorded results of the reference",
        description="Runs every case of a folder of goldens (MANIFEST.json and files) on the CPU.",
    )
    parser.add_argument("dir", type=Path, metavar="DIR", help="folder that holds MANIFEST.json")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one line a case; 0 if all that could run passed."""
    from ..parity import run_parity

    passed = failed = 0
    print(f"{'case':<26}{'largest error':>14}  {'tolerance':<22}verdict")
    for result in run_parity(args.dir):
        if result.skipped:
            print(f"{result.case:<26}{'-':>14}  {'-':<22}skipped ({result.skipped})")
            continue
        passed += result.passed
        failed += not result.passed
        verdict = "ok" if result.passed else "FAILED"
        print(
            f"{result.case:<26}{_error(result.check):>14}  {_tolerance(result.check):<22}{verdict}"
        )
        for failure in result.check.failures[:5]:
            print(f"    {failure}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def _error(check: Check) -> str:
    return f"{check.error:.2e}" if check.tensors else "exact" if not check.failures else "-"


def _tolerance(check: Check) -> str:
    absolute, relative = check.tolerance
    if not check.tensors or absolute == relative == 0:
        return "exact"
    return f"{absolute:g} + {relative:g} |x|"
