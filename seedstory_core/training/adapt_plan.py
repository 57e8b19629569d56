"""What an adaptation takes, as a table, and what to change where a machine cannot do it."""

from __future__ import annotations

from dataclasses import dataclass

from ..files import human
from .adapt_settings import AdaptSettings

RESERVE = 1.1  # for torch itself, fragments and what stands between two layers
DAY = 86_400  # seconds
FRESH = 1000 << 20  # bytes, measured: Python, torch, diffusers and peft before any weight


@dataclass(frozen=True)
class Step:
    """One step of an adaptation; sizes in bytes.

    Attributes:
        parameters, trained: how many there are and how many of them learn.
        weights: all weights, and the average of those that learn.
        gradients, optimiser: of those that learn, fp32.
        activations: what forward keeps for backward, or needs to work in.
        disk: caches, checkpoints and results.
        operations: floating point operations of the whole step.
        seconds: of the whole step.
        probed: whether the time was measured rather than computed.
    """

    name: str
    parameters: int = 0
    trained: int = 0
    weights: int = 0
    gradients: int = 0
    optimiser: int = 0
    activations: int = 0
    disk: int = 0
    operations: float = 0.0
    seconds: float = 0.0
    probed: bool = False

    @property
    def memory(self) -> int:
        return self.weights + self.gradients + self.optimiser + self.activations


@dataclass(frozen=True)
class Estimate:
    """All steps, in order, on one device.

    Attributes:
        frugal: as `AdaptSettings.frugal`, decided.
        memory, disk: bytes that this machine has for it.
    """

    steps: tuple[Step, ...]
    frugal: bool
    device: str
    memory: int
    disk: int

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)

    @property
    def peak(self) -> int:
        """Bytes of the greediest step."""
        return int(RESERVE * max(step.memory for step in self.steps)) + FRESH

    @property
    def written(self) -> int:
        """Bytes on disk while it runs."""
        return sum(step.disk for step in self.steps)

    def table(self) -> str:
        """The steps as text, one a line."""
        names = ("step", "parameters", "trained", "weights", "gradients", "optimiser")
        lines = [_row((*names, "activations", "memory", "disk", "TFLOP", "time"))]
        for step in self.steps:
            sizes = (step.weights, step.gradients, step.optimiser, step.activations)
            counts = (f"{step.parameters:,}", f"{step.trained:,}")
            time = f"{'' if step.probed else '~'}{clock(step.seconds)}"
            trillions = step.operations / 1e12
            work = f"{trillions:,.0f}" if trillions >= 100 else f"{trillions:.2g}"
            shown = (*map(human, sizes), human(step.memory), human(step.disk), work, time)
            lines.append(_row((step.name, *counts, *shown)))
        thrift = (
            "frozen weights in bf16, gradient checkpointing, one sample at a time"
            if self.frugal
            else "fp32, no checkpointing"
        )
        lines.append(
            f"At most {human(self.peak)} at once of {human(self.memory)} ({self.device}), "
            f"{human(self.written)} on disk, {clock(self.seconds)} in all; {thrift}."
        )
        return "\n".join(lines)

    def problems(self, settings: AdaptSettings) -> list[str]:
        """Why this machine cannot do it, and what to change; [] if it can."""
        found = []
        if self.peak > self.memory:
            worst = max(self.steps, key=lambda step: step.memory)
            found.append(
                f"Step {worst.name!r} needs about {human(self.peak)} of memory, but {self.device} "
                f"has {human(self.memory)}. {_advice(worst, self.frugal, settings)}"
            )
        if self.written > self.disk:
            found.append(
                f"The caches and the new world need {human(self.written)} on disk, but "
                f"{human(self.disk)} are free. Free some, or choose another folder for --out."
            )
        return found


def _advice(step: Step, frugal: bool, settings: AdaptSettings) -> str:
    ways = []
    if not frugal:
        ways.append("train frugally (--frugal)")
    if step.gradients and step.optimiser > step.activations:
        if step.name == "LLM" and settings.also:
            ways.append("train less beside the adapters (--also with no name)")
        ways.append(f"use a lower --rank than {settings.rank}")
    if step.activations > step.weights or step.name == "LLM":
        ways.append(f"use a smaller --window than {settings.window}")
    if not frugal:
        ways.append("use a smaller --batch or --paint-batch")
    ways.append("use a GPU with more memory, or several with accelerate's FSDP")
    return f"You can {'; '.join(ways)}."


def clock(seconds: float) -> str:
    """4000 -> ``1:06:40``; whole days from two on."""
    whole = max(1, round(seconds))
    if whole >= 2 * DAY:
        return f"{whole / DAY:,.0f} days"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _row(cells: tuple[str, ...]) -> str:
    widths = (14, 15, 13, 10, 10, 10, 12, 10, 10, 10, 12)
    head, *rest = zip(cells, widths, strict=True)
    return f"{head[0]:<{head[1]}}" + "".join(f"{cell:>{width}}" for cell, width in rest)
