"""Fuzz from the command line: ``python -m tests.fuzz``, in the root of the repository."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from . import page  # noqa: E402
from .harness import SECRET, Kind, Outcome, Tally, fuzz, read_one, rng_of, workplace  # noqa: E402
from .kinds.stories import Sound  # noqa: E402
from .once import ONCE  # noqa: E402
from .watch import Watch  # noqa: E402

#: Inputs of a whole run: fewer of those that take longer than a few milliseconds.
MANY = 5100
COUNTS = {"caption": 1200, "script": 5000, "font": 1200, "weights": 700, "world": 1600,
          "lora": 1200, "controlnet": 700, "page": 5000}  # fmt: skip
HOSTED = {"lora", "controlnet", "route", "widget"}  # need a ComfyUI


def main() -> int:
    """1 where an input was not sound."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--kind", action="append", help="only this kind; may be given several times"
    )
    parser.add_argument("--count", type=int, help="inputs of each kind; else as many as `COUNTS`")
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--seed", type=int, help="one input, in this process, with its whole trace")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--json", type=Path, help="write the counts here")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    place = workplace()
    try:
        kinds = _kinds(place, given.kind)
        if given.seed is not None:
            return _repeat(kinds, given.seed, place)
        began = time.time()
        seeds = {name: _seeds(name, given.first, given.count) for name in (*kinds, page.NAME)}
        if given.kind is None or page.NAME in given.kind:
            tallies = {page.NAME: page.fuzz_page(Sound(place), seeds.pop(page.NAME))}
        else:
            tallies = {}
            del seeds[page.NAME]
        tallies |= fuzz(kinds, seeds, given.jobs)
        print(report(tallies))
        print(f"{time.time() - began:.0f} s")
        if given.json:
            given.json.write_text(json.dumps({n: _plain(t) for n, t in tallies.items()}, indent=1))
        return int(any(tally.faults for tally in tallies.values()))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _kinds(place: Path, names: list[str] | None) -> dict[str, Kind]:
    from .kinds import all_kinds

    kinds = all_kinds(place, hosted=not names or bool({*names} & HOSTED))
    unknown = [name for name in names or () if name not in kinds and name != page.NAME]
    if unknown:
        sys.exit(f"No kind {unknown[0]!r}; there are {', '.join(kinds)} and {page.NAME}.")
    return {name: kinds[name] for name in names or kinds if name in kinds}


def _seeds(name: str, first: int, count: int | None) -> list[int]:
    """A whole run begins with what once was a fault."""
    if count is not None:
        return list(range(first, first + count))
    return [*ONCE.get(name, ()), *range(first, first + COUNTS.get(name, MANY))]


def _repeat(kinds: Mapping[str, Kind], seed: int, place: Path) -> int:
    """Read one input in this process."""
    secret = place / SECRET
    secret.write_bytes(b"a secret")
    if kinds:
        watch = Watch(place / "run", secret)
        outcome = read_one(next(iter(kinds.values())), seed, place / "run" / "work", watch)
    else:
        outcome = page.Node().judged(seed, *page.made(Sound(place), rng_of(page.NAME, seed)))
    print(outcome)
    print(outcome.text)
    return int(not outcome.sound)


def report(tallies: dict[str, Tally]) -> str:
    """A line for each kind, then one for each fault."""
    total = sum(tally.count for tally in tallies.values())
    faulty = sum(len(some) for tally in tallies.values() for some in tally.faults.values())
    lines = [f"{total} inputs, {faulty} of them not sound"]
    for name, tally in tallies.items():
        words = ", ".join(f"{count} {word}" for word, count in sorted(tally.words.items()))
        slow = f"{tally.slowest.seconds:.2f} s" if tally.slowest else ""
        large = f"+{tally.largest.megabytes} MB" if tally.largest else ""
        mean = 1000 * tally.seconds / max(1, tally.count)
        lines.append(
            f"{name:12} {tally.count:7}  {words}; mean {mean:.1f} ms, most {slow}, {large}"
        )
    for tally in tallies.values():
        for (word, where), some in sorted(tally.faults.items()):
            lines.append(f"FAULT {len(some):5} x {word}: {where}")
            lines += [f"        --kind {o.kind} --seed {o.seed}: {_short(o)}" for o in some[:2]]
    return "\n".join(lines)


def _short(outcome: Outcome) -> str:
    text = outcome.text.encode(errors="replace").decode()
    return f"{outcome.seconds:.2f} s, +{outcome.megabytes} MB {' '.join(text.split())[:160]}"


def _plain(tally: Tally) -> dict[str, object]:
    faults = [
        {"word": word, "where": where, "seeds": [o.seed for o in some], "text": _short(some[0])}
        for (word, where), some in tally.faults.items()
    ]
    return {
        "words": tally.words,
        "seconds": round(tally.seconds, 1),
        "slowest": str(tally.slowest),
        "largest": str(tally.largest),
        "faults": faults,
    }


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # ComfyUI's objects complain when they are taken apart
