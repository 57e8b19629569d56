"""Every input of a stranger ends in a sound result or a sentence, in bounded time and room.

A few inputs of every kind here, and all that were once faults; a hundred thousand in the slow tier
(docs/FUZZING.md), which takes minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from fuzz import page
from fuzz.harness import Kind, fuzz, workplace
from fuzz.kinds import all_kinds
from fuzz.kinds.stories import Sound
from fuzz.once import ONCE

ROOT = Path(__file__).parents[2]
FEW = 12  # inputs of each kind: seconds for all
WHOLE = 100_000  # inputs that a whole run has at least


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder in memory."""
    import shutil

    found = workplace()
    yield found
    shutil.rmtree(found)


@pytest.fixture(scope="module")
def kinds(place: Path) -> Mapping[str, Kind]:
    return all_kinds(place)


def test_a_few_inputs_of_every_kind_and_what_once_was_a_fault(kinds: Mapping[str, Kind]) -> None:
    seeds = {name: [*range(FEW), *ONCE.get(name, ())] for name in kinds}
    tallies = fuzz(kinds, seeds, jobs=2)
    faults = [str(some[0]) for tally in tallies.values() for some in tally.faults.values()]
    assert not faults, "\n".join(faults)
    assert {name: tally.count for name, tally in tallies.items()} == {
        name: len(some) for name, some in seeds.items()
    }
    assert all(tally.words.get("refused") for tally in tallies.values())


@pytest.mark.skipif(not page.found_node(), reason="not found: node")
def test_a_few_files_dropped_on_the_page(kinds: Mapping[str, Kind], place: Path) -> None:
    tally = page.fuzz_page(Sound(place), range(300))
    assert not tally.faults, [str(some[0]) for some in tally.faults.values()]
    assert tally.words["read"] > 30 and tally.words["refused"] > 30


@pytest.mark.slow  # ten minutes and more
def test_a_hundred_thousand_inputs(comfy_tree: Path, tmp_path: Path) -> None:
    counts = tmp_path / "counts.json"
    command = [sys.executable, "-m", "tests.fuzz", "--json", str(counts)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
    told = json.loads(counts.read_text())
    assert sum(sum(one["words"].values()) for one in told.values()) >= WHOLE
    assert {"lora", "controlnet", "route", "widget", page.NAME} <= told.keys()
    for name, one in told.items():  # most kinds are read as often as not
        assert one["words"].get("read"), name
