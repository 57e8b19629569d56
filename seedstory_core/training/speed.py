"""What this machine computes in a second, measured, not looked up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..machine import Machine

MEASURED = 0.3  # seconds for each figure
ENOUGH = 2.0  # seconds of one probe
#: Of what it does in one large product; convolutions, small layers and norms are slower.
SHARE = 0.5


@dataclass(frozen=True)
class Speed:
    """Of one device.

    Attributes:
        operations: floating point operations a second in large matrix products.
        bytes: bytes a second read and written.
        memory: bytes of the device, or of RAM where it is the CPU.
    """

    operations: float
    bytes: float
    memory: int

    def seconds(self, operations: float, read: float = 0.0) -> float:
        """For so many operations that read so many bytes, whichever takes longer."""
        return max(operations / (SHARE * self.operations), read / self.bytes)


def measure(device: torch.device, dtype: torch.dtype, machine: Machine) -> Speed:
    """The speed of ``device`` in ``dtype``; takes about a second."""
    side = 1024 if device.type == "cpu" else 4096
    left = torch.ones(side, side, device=device, dtype=dtype)
    product = _rate(lambda: left @ left, device) * 2 * side**3
    many = torch.ones(
        (64 if device.type == "cpu" else 1024) << 20, device=device, dtype=torch.uint8
    )
    moved = _rate(lambda: many.clone(), device) * 2 * many.numel()
    memory = machine.vram if device.type == "cuda" else machine.ram
    return Speed(product, moved, memory)


def seconds_of(work: Callable[[], object], device: torch.device, repeats: int = 4) -> float:
    """The best time of a few runs (the first one warms up), of one where that takes long."""
    times: list[float] = []
    while len(times) < repeats and sum(times) < ENOUGH:
        _wait(device)
        begun = time.perf_counter()
        work()
        _wait(device)
        times.append(time.perf_counter() - begun)
    return min(times)


def _rate(work: Callable[[], object], device: torch.device) -> float:
    """Runs a second."""
    work()
    _wait(device)
    count, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < MEASURED:
        work()
        _wait(device)
        count += 1
    return count / (time.perf_counter() - begun)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
