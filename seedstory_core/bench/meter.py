"""Counts and times what a panel costs, by hooks on the decoder and its head.

Every mode is counted by the same hooks, whatever runs around them. A panel's first forward and what
leads up to it is ``prefill``; those that read its caption word by word are ``decode``; what follows
is ``forced``, the picture, its features included.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from .memory import Peak

PREFILL, DECODE, FORCED = PHASES = ("prefill", "decode", "forced")


class Clock(Protocol):
    """Marks moments; the time between two is known when all work is done."""

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

    name = "cpu time of the measuring thread"

    def mark(self) -> float:
        return time.thread_time()

    def settle(self) -> None:
        pass

    def seconds(self, begin: float, end: float) -> float:
        return end - begin


class DeviceClock:
    """CUDA events: time on the device, waiting for the host included."""

    name = "device events"

    def mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def settle(self) -> None:
        torch.cuda.synchronize()

    def seconds(self, begin: torch.cuda.Event, end: torch.cuda.Event) -> float:
        return begin.elapsed_time(end) / 1000


def clock_for(device: torch.device) -> ThreadClock | DeviceClock:
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


class Meter:
    """Measures panels on a device, one at a time."""

    def __init__(self, device: torch.device) -> None:
        self.clock: Clock = clock_for(device)
        self._peak = Peak(device)
        self._words = self._singles = 0
        self._marks: list[tuple[str, Any]] = []
        self._cache: Any = None
        self.cost = Cost()

    @contextmanager
    def panel(self, decoder: nn.Module, head: nn.Module, words: int) -> Iterator[Cost]:
        """The cost of what happens inside, complete behind the block.

        Args:
            decoder: a Llama, ours or transformers'; ``head``: its output head.
            words: of the caption that is told, 0 where it is given; they end ``decode``.
        """
        cost = self.cost = Cost()
        self._cache, self._words, self._singles = None, words, 0
        hooks = [
            decoder.register_forward_pre_hook(self._forward, with_kwargs=True),
            head.register_forward_pre_hook(self._head),
        ]
        self._peak.begin()
        self._marks = [(PREFILL, self.clock.mark())]
        try:
            yield cost
            self._marks.append(("", self.clock.mark()))
        finally:
            for hook in hooks:
                hook.remove()
        self.clock.settle()
        for (phase, begin), (_, end) in zip(self._marks, self._marks[1:], strict=False):
            cost.seconds[phase] += self.clock.seconds(begin, end)
        cost.peak_bytes = self._peak.end()
        cost.kv_rows, cost.kv_bytes = held(self._cache)
        self._cache = None

    def _forward(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Before each forward: count it, and begin its phase."""
        embeds = args[0] if args else kwargs.get("inputs_embeds")
        rows = (kwargs["input_ids"] if embeds is None else embeds).shape[1]
        self._cache = args[2] if len(args) > 2 else kwargs.get("past_key_values", self._cache)
        self.cost.forwards += 1
        self.cost.tokens += rows
        if self.cost.forwards == 1:
            return
        self._singles += rows == 1
        word = rows == 1 and self._singles <= self._words
        phase = DECODE if word else FORCED if self._singles else PREFILL
        if phase != self._marks[-1][0]:
            self._marks.append((phase, self.clock.mark()))

    def _head(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        hidden = args[0]
        self.cost.head_rows += hidden.numel() // hidden.shape[-1]


def held(cache: Any) -> tuple[int, int]:
    """Rows and bytes of a cache, ours or transformers'."""
    if cache is None:
        return 0, 0
    if hasattr(cache, "nbytes"):
        return cache.length, cache.nbytes
    layers = [layer for layer in cache.layers if layer.keys is not None]
    size = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
    return cache.get_seq_length(), size
