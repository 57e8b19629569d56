"""What this machine has. What fits it: `memory`."""

from __future__ import annotations

import ctypes
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from .files import free_bytes, human


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
