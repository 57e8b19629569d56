"""What a device has, as its owner says: a host that knows better fills in `Device` itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from ..machine import Machine

GIB = 1 << 30


@dataclass(frozen=True)
class Device:
    """Memory in bytes.

    Attributes:
        name: as users know it, e.g. ``cuda (NVIDIA H200)``.
        total: all there is.
        free: what a run may take; models that would leave for it count as free.
        ram: of the machine, where weights wait that are not on the device; 0 if unknown.
        gpu: whether the device has memory of its own.
    """

    name: str
    total: int
    free: int
    ram: int = 0
    gpu: bool = True


def device_here(device: torch.device) -> Device:
    """A device of this machine, with what is free on it now."""
    ram = Machine.here(Path()).ram
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        name = f"{device} ({torch.cuda.get_device_name(device)})"
        return Device(name, int(total), int(free), ram)
    if device.type == "mps":
        total = int(torch.mps.recommended_max_memory())
        used = int(torch.mps.driver_allocated_memory())
        return Device("mps", total, max(0, total - used), ram)
    return Device(str(device), ram, available_ram(ram), ram, gpu=False)


def available_ram(total: int) -> int:
    """RAM that programs can get without swapping; ``total`` where the system does not say."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text("utf-8"))
    except OSError:
        return total
    return min(total, 1024 * int(found[1])) if found else total
