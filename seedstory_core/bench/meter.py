"""Counts and times what a panel costs.

Every mode tells of its forwards before they run, and is timed by the same rule: a panel's first
forward and what leads up to it is ``prefill``; those that read its caption word by word are
``decode``; what follows is ``forced``, the picture, its features included.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch

from .memory import Peak

PREFILL, DECODE, FORCED = PHASES = ("prefill", "decode", "forced")


class Clock(Protocol):
    """Marks moments; the time between two is known when all work is done.

    Attributes:
        name: what it tells.
    """

    name: ClassVar[str]

    def mark(self) -> Any:
        """This moment."""
        ...

    def settle(self) -> None:
        """Wait until all work that was begun is done."""
        ...

    def seconds(self, begin: Any, end: Any) -> float:
        """Between two moments, after `settle`."""
        ...


class ThreadClock:
    """Processor time of this thread: other programs on the machine do not count."""

    name: ClassVar[str] = "cpu time of the measuring thread"

    def mark(self) -> float:
        return time.thread_time()

    def settle(self) -> None:
        pass

    def seconds(self, begin: float, end: float) -> float:
        return end - begin


class DeviceClock:
    """CUDA events: time on the device, waiting for the host included."""

    name: ClassVar[str] = "device events"

    def mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def settle(self) -> None:
        torch.cuda.synchronize()

    def seconds(self, begin: torch.cuda.Event, end: torch.cuda.Event) -> float:
        return begin.elapsed_time(end) / 1000


def clock_for(device: torch.device) -> Clock:
    """The clock that tells what a device was busy with."""
    return DeviceClock() if device.type == "cuda" else ThreadClock()


@dataclass
class Cost:
    """What one panel took.

    Attributes:
        forwards: passes through the decoder; ``tokens``: rows in all of them.
        head_rows: rows that the output head scored.
        kv_rows, kv_bytes: held when the panel is told.
        seconds: by phase.
        peak_bytes: memory in use at once beyond what was there before the panel, if known.
    """

    forwards: int = 0
    tokens: int = 0
    head_rows: int = 0
    kv_rows: int = 0
    kv_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    peak_bytes: int | None = None

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


class Source(Protocol):
    """What is measured."""

    def listening(
        self, forward: Callable[[int], None], head: Callable[[int], None]
    ) -> AbstractContextManager[None]:
        """Inside, ``forward`` is called with the rows of each forward before it runs, and ``head``
        with the rows that the output head scores."""
        ...

    def held(self) -> tuple[int, int]:
        """Rows and bytes of the KV, now."""
        ...


class Meter:
    """Measures panels on a device, one at a time."""

    def __init__(self, device: torch.device) -> None:
        self.clock = clock_for(device)
        self._peak = Peak(device)
        self._words = self._singles = 0
        self._marks: list[tuple[str, Any]] = []
        self._cost = Cost()

    @contextmanager
    def panel(self, source: Source, words: int) -> Iterator[Cost]:
        """The cost of what ``source`` does inside, complete behind the block.

        Args:
            words: of the caption that is told, 0 where it is given; they end ``decode``.
        """
        cost = self._cost = Cost()
        self._words, self._singles = words, 0
        with source.listening(self._forward, self._head):
            self._peak.begin()
            self._marks = [(PREFILL, self.clock.mark())]
            yield cost
            self._marks.append(("", self.clock.mark()))
        self.clock.settle()
        for (phase, begin), (_, end) in zip(self._marks, self._marks[1:], strict=False):
            cost.seconds[phase] += self.clock.seconds(begin, end)
        cost.peak_bytes = self._peak.end()
        cost.kv_rows, cost.kv_bytes = source.held()

    def _forward(self, rows: int) -> None:
        """Before each forward: count it, and begin its phase."""
        self._cost.forwards += 1
        self._cost.tokens += rows
        if self._cost.forwards == 1:
            return
        self._singles += rows == 1
        word = rows == 1 and self._singles <= self._words
        phase = DECODE if word else FORCED if self._singles else PREFILL
        if phase != self._marks[-1][0]:
            self._marks.append((phase, self.clock.mark()))

    def _head(self, rows: int) -> None:
        self._cost.head_rows += rows
