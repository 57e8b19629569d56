"""A warm process that forks children, each of which reads a batch of inputs.

An input is made from its kind and its seed alone, so that any can be repeated by itself. A child
that dies costs one input: the next child goes on behind it.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import pickle
import random
import select
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .watch import STOP, Outcome, Watch

BATCH = 1000  # inputs of one child; making a child of a large process takes its time
SLOWEST = 5  # inputs that are listed


class Kind(Protocol):
    """One kind of input.

    Attributes:
        name: in reports and on the command line.
    """

    name: str

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        """Write an input into the empty ``folder``; what reads it, all of which is measured."""
        ...


@dataclass
class Tally:
    """All outcomes of one kind, counted."""

    words: dict[str, int] = field(default_factory=dict)
    faults: dict[tuple[str, str], list[Outcome]] = field(default_factory=dict)
    slowest: Outcome | None = None
    largest: Outcome | None = None
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        self.words[outcome.word] = self.words.get(outcome.word, 0) + 1
        self.seconds += outcome.seconds
        if not outcome.sound:
            self.faults.setdefault((outcome.word, outcome.where), []).append(outcome)
        if self.slowest is None or outcome.seconds > self.slowest.seconds:
            self.slowest = outcome
        if self.largest is None or outcome.megabytes > self.largest.megabytes:
            self.largest = outcome

    @property
    def count(self) -> int:
        return sum(self.words.values())


def workplace() -> Path:
    """A new folder in memory where there is such a place."""
    shared = Path("/dev/shm")
    root = shared if os.access(shared, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="seedstory-fuzz-", dir=root))


def rng_of(kind: str, seed: int) -> random.Random:
    """The numbers that make one input; the same with every Python."""
    return random.Random(f"{kind} {seed}")


def read_one(kind: Kind, seed: int, place: Path, watch: Watch) -> Outcome:
    """Make, read and measure one input, below the empty folder ``place``."""
    folder = place / "in" / "side"
    folder.mkdir(parents=True)
    act = kind.make(rng_of(kind.name, seed), folder)
    outcome = watch.run(kind.name, seed, act)
    shutil.rmtree(place, ignore_errors=True)
    return outcome


class _Child:
    """A forked process at work on seeds of one kind."""

    def __init__(self, kind: Kind, seeds: Sequence[int], root: Path) -> None:
        self.kind, self.seeds = kind, seeds
        self.place = Path(tempfile.mkdtemp(dir=root))
        self._at = mmap.mmap(-1, 8)  # number of the input at hand, shared with the child
        self.reader, writer = os.pipe()
        self._data = bytearray()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(self.reader)
                self._work(root, writer)
                code = 0
            finally:
                os._exit(code)
        os.close(writer)

    def _work(self, root: Path, writer: int) -> None:
        faulthandler.disable()  # a test runner's own: what dies here is counted, not told
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)  # decoders in C speak for themselves
        if not os.environ.get("FUZZ_LOUD"):
            os.dup2(null, 2)
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.place)
        watch = Watch(self.place, root / SECRET)
        for number, seed in enumerate(self.seeds):
            self._at[:] = number.to_bytes(8, "little")
            try:
                outcome = read_one(self.kind, seed, self.place / "work", watch)
            except BaseException as error:  # a fault of the generator
                shutil.rmtree(self.place / "work", ignore_errors=True)
                outcome = Outcome(self.kind.name, seed, "raw", "the fuzzer", repr(error))
            data = pickle.dumps(outcome)
            os.write(writer, len(data).to_bytes(4, "little") + data)

    def more(self) -> Iterator[Outcome]:
        """Outcomes that came since."""
        piece = os.read(self.reader, 1 << 16)
        self._data += piece
        while len(self._data) >= 4:
            size = int.from_bytes(self._data[:4], "little")
            if len(self._data) < 4 + size:
                break
            yield pickle.loads(self._data[4 : 4 + size])
            del self._data[: 4 + size]
        self.ended = not piece

    ended = False

    def end(self) -> tuple[Outcome | None, Sequence[int]]:
        """What ended it, if it was an input, and the seeds that are left."""
        os.close(self.reader)
        _, status = os.waitpid(self.pid, 0)
        shutil.rmtree(self.place, ignore_errors=True)
        if status == 0:
            return None, ()
        number = int.from_bytes(self._at[:8], "little")
        stopped = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF
        word = "slow" if stopped else "killed"
        how = f"not done after {STOP:g} s" if stopped else f"ended with status {status}"
        seconds = STOP if stopped else 0.0
        outcome = Outcome(self.kind.name, self.seeds[number], word, how, seconds=seconds)
        return outcome, self.seeds[number + 1 :]


SECRET = "secret.png"  # what no input may reach, above all their folders


def fuzz(
    kinds: Mapping[str, Kind],
    seeds: Mapping[str, Iterable[int]],
    jobs: int = 1,
    heard: Callable[[Outcome], None] | None = None,
) -> dict[str, Tally]:
    """Read the inputs of ``seeds``, ``{kind: numbers}``; counts for each kind."""
    root = workplace()
    (root / SECRET).write_bytes(b"a secret")
    waiting = [
        (kinds[name], batch) for name, some in seeds.items() for batch in _batches(list(some))
    ]
    waiting.reverse()
    tallies = {name: Tally() for name in seeds}
    children: dict[int, _Child] = {}

    def count(outcome: Outcome) -> None:
        tallies[outcome.kind].add(outcome)
        if heard is not None:
            heard(outcome)

    try:
        while waiting or children:
            while waiting and len(children) < jobs:
                child = _Child(*waiting.pop(), root)
                children[child.reader] = child
            ready, _, _ = select.select(list(children), [], [])
            for reader in ready:
                child = children[reader]
                for outcome in child.more():
                    count(outcome)
                if not child.ended:
                    continue
                del children[reader]
                last, left = child.end()
                if last is not None:
                    count(last)
                if left:
                    waiting.append((child.kind, left))
    finally:
        for child in children.values():
            os.kill(child.pid, signal.SIGKILL)
            child.end()
        shutil.rmtree(root, ignore_errors=True)
    return tallies


def _batches(seeds: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for at in range(0, len(seeds), BATCH):
        yield seeds[at : at + BATCH]
