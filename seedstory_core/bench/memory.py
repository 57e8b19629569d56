"""The most memory in use at once while a panel is told."""

from __future__ import annotations

from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = b"5"  # see proc(5)


class Peak:
    """Bytes beyond those in use at `begin`: of the device's allocator, or of this process.

    On a CPU only Linux tells; elsewhere the answer is None.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = 0

    def begin(self) -> None:
        """Count from here on."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
            return
        try:
            _CLEAR.write_bytes(_RESET_PEAK)
        except OSError:
            self._before = 0
            return
        self._before = _status("VmRSS") or 0

    def end(self) -> int | None:
        """The most since `begin`."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) - self._before
        most = _status("VmHWM")
        return most - self._before if most and self._before else None


def _status(field: str) -> int | None:
    """A field of this process's status in bytes; None where the system has no such file."""
    try:
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(field + ":")]
    return int(found[0]) * 1024 if found else None
