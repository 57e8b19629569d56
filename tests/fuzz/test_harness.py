"""The fuzzer finds what it is there to find, and any input can be made again."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz import harness, watch
from fuzz.harness import SECRET, fuzz, rng_of
from fuzz.kinds import all_kinds
from seedstory_core.errors import SeedStoryError


class Made:
    """A kind whose every input is read by one function."""

    def __init__(self, name: str, read: Callable[[Path], object]) -> None:
        self.name, self._read = name, read

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        return lambda: self._read(folder)


class Unchecked(SeedStoryError):
    """One whose message is as it was given."""

    def __init__(self, message: str) -> None:
        ValueError.__init__(self, message)


def refuse(folder: Path) -> None:
    raise SeedStoryError("Expected a story.")


def unprintable(folder: Path) -> None:
    raise Unchecked("half a letter: \ud800")


def endless_words(folder: Path) -> None:
    raise Unchecked("a" * 100_000)


def fill(folder: Path) -> int:
    return len(bytearray(b"x") * ((watch.MEGABYTES + 50) << 20))


def reach(folder: Path) -> bytes:
    return (folder / "../../../../" / SECRET).read_bytes()


def scatter(folder: Path) -> None:
    (folder / "../../../../left").write_bytes(b"")


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "read": (lambda folder: 1, "read"),
    "refused": (refuse, "refused"),
    "raw": (lambda folder: {}["x"], "raw"),
    "unprintable": (unprintable, "raw"),
    "endless words": (endless_words, "raw"),
    "large": (fill, "large"),
    "program": (lambda folder: subprocess.run(["true"], check=True), "reached"),
    "secret": (reach, "reached"),
    "beside": (scatter, "reached"),
    "within": (lambda folder: (folder / "x").write_bytes(b""), "read"),
    "crash": (lambda folder: os.abort(), "killed"),
    "recursion": (lambda folder: FAULTS["recursion"][0](folder), "raw"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_an_input_does_is_named(name: str) -> None:
    read, word = FAULTS[name]
    tally = fuzz({name: Made(name, read)}, {name: range(3)})[name]
    assert tally.words == {word: 3}, tally.faults
    assert bool(tally.faults) == (word not in ("read", "refused"))


def test_an_input_without_end_is_ended_and_the_next_ones_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, seconds in (("STOP", 0.6), ("SECONDS", 0.2)):
        monkeypatch.setattr(watch, name, seconds)
    monkeypatch.setattr(harness, "STOP", 0.6)

    def work(until: float) -> None:
        began = time.process_time()
        while time.process_time() - began < until:
            pass

    class Endless:
        name = "endless"

        def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
            until = rng.choice((0.0, 0.3, 60.0))
            return lambda: work(until)

    drawn = [rng_of("endless", seed).choice((0.0, 0.3, 60.0)) for seed in range(8)]
    assert {*drawn} == {0.0, 0.3, 60.0}
    tally = fuzz({"endless": Endless()}, {"endless": range(8)}, jobs=2)["endless"]
    slow = sum(until > 0 for until in drawn)
    assert tally.words == {"read": 8 - slow, "slow": slow}
    found = {outcome.seed for some in tally.faults.values() for outcome in some}
    assert found == {seed for seed, until in enumerate(drawn) if until}


def test_an_input_is_made_of_its_kind_and_seed_alone(tmp_path: Path) -> None:
    kinds = all_kinds(tmp_path)
    for name, kind in kinds.items():
        made = []
        for turn in ("one", "other"):
            folder = tmp_path / turn / name
            folder.mkdir(parents=True)
            kind.make(rng_of(name, 7), folder)
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            made.append([(p.relative_to(folder), p.read_bytes()) for p in files])
        assert made[0] == made[1], name
