"""What this machine has, and which phases of a world it can run; from file sizes, not guesses."""

from __future__ import annotations

import ctypes
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from .errors import SeedStoryError
from .files import free_bytes, human
from .weights.catalog import CATALOG
from .weights.reader import open_checkpoint
from .world import World

#: Which files are in memory at once while a phase runs (the host loads one phase at a time).
PHASES = {"seeing": ("vision",), "telling": ("llm",), "painting": ("detokenizer", "unet", "vae")}
#: What painting adds where the world has no UNet or VAE of its own.
_BASE_PARTS = {"unet": "sdxl-unet", "vae": "sdxl-vae"}
QUICK = 1 << 28  # bytes of fp32 weights that a processor computes with at a walking pace


@dataclass(frozen=True)
class Machine:
    """Memory and disk in bytes; ``gpu`` is "" and ``vram`` 0 where torch sees none."""

    ram: int
    vram: int
    gpu: str
    disk: int
    cores: int

    @classmethod
    def here(cls, models: Path) -> Machine:
        """This machine; ``disk`` is free space where ``models`` is."""
        import torch

        gpu, vram = "", 0
        if torch.cuda.is_available():
            properties = torch.cuda.get_device_properties(0)
            gpu, vram = properties.name, int(properties.total_memory)
        return cls(_ram(), vram, gpu, free_bytes(models), os.cpu_count() or 1)

    def describe(self) -> str:
        gpu = f"{self.gpu}, {human(self.vram)} VRAM" if self.vram else "no GPU that torch can use"
        return (
            f"{gpu}; {human(self.ram)} RAM; {self.cores} cores; {human(self.disk)} of disk free "
            f"for models; {platform.system()}, Python {platform.python_version()}"
        )


@dataclass(frozen=True)
class Phase:
    """One phase of a world: the bytes of its weights and how this machine runs it."""

    name: str
    weights: int
    precision: str
    how: str


def phases(world: World, machine: Machine) -> list[Phase]:
    """How ``machine`` runs each phase of ``world``."""
    width = _bytes_per_number(world)
    return [_phase(name, _weights(world, roles), width, machine) for name, roles in PHASES.items()]


def _weights(world: World, roles: tuple[str, ...]) -> int:
    total = 0
    for role in roles:
        if role in world.files:
            total += world.files[role].bytes
        elif role in _BASE_PARTS:
            known = next(entry for entry in CATALOG if entry.key == _BASE_PARTS[role])
            total += known.bytes or 0
    return total


def _phase(name: str, weights: int, width: int, machine: Machine) -> Phase:
    stored = {2: "float16", 4: "float32"}.get(width, f"{8 * width} bit")
    if machine.vram:
        if weights < machine.vram:
            return Phase(name, weights, stored, "whole on the GPU; the rest of VRAM is to work in")
        return Phase(name, weights, stored, "in parts on the GPU, as ComfyUI offloads; slower")
    as_fp32 = weights * 4 // width
    if as_fp32 < machine.ram:
        pace = "; slow" if as_fp32 > QUICK else ""
        return Phase(name, weights, "float32", f"on the CPU, {human(as_fp32)} in memory{pace}")
    if weights < machine.ram:
        return Phase(name, weights, "float32", "on the CPU from mapped weights; very slow")
    return Phase(name, weights, "float32", "on the CPU, read from disk again and again; not useful")


def _bytes_per_number(world: World) -> int:
    """Of the LLM's weights, as stored."""
    try:
        checkpoint = open_checkpoint(world.file("llm"))
        return checkpoint.dtype(checkpoint.keys()[0]).itemsize
    except (SeedStoryError, IndexError):
        return 2  # a damaged file is reported as such elsewhere


class _MemoryStatus(ctypes.Structure):
    """Windows' MEMORYSTATUSEX."""

    _fields_ = [
        ("dwLength", ctypes.c_ulong),
        ("dwMemoryLoad", ctypes.c_ulong),
        ("ullTotalPhys", ctypes.c_ulonglong),
        *((f"rest{i}", ctypes.c_ulonglong) for i in range(6)),
    ]


def _ram() -> int:
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    status = _MemoryStatus()
    status.dwLength = ctypes.sizeof(status)
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
    return int(status.ullTotalPhys)
