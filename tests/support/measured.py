"""What a call costs: run in a child of its own with limits on memory and processor time."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

from seedstory_core.errors import SeedStoryError

LIMIT = 4 << 30  # bytes of data, so that a fault ends the child and not the machine
linux = pytest.mark.skipif(
    sys.platform != "linux", reason="memory is read from /proc, which is Linux's"
)


class Cost(NamedTuple):
    """How a call ended: ``end`` is read, refused, or the name of a raw error; what it took."""

    end: str
    text: str
    seconds: float
    megabytes: int


def cost(act: Callable[[], object], seconds: int = 30) -> Cost:
    """Run ``act`` in a child; processor time and the peak of memory above what was there."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, "\0".join(map(str, _inside(act, seconds))).encode(errors="replace"))
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        line = pipe.read().decode(errors="replace")
    os.waitpid(child, 0)
    if not line:
        return Cost("killed", f"by its limits, of {seconds} s of processor time", seconds, 0)
    end, text, took, grown = line.split("\0")
    return Cost(end, text, float(took), int(grown))


def _inside(act: Callable[[], object], seconds: int) -> Cost:
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")  # forgets the peak of the parent
    before, began = _status("VmRSS"), time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (int(began) + seconds + 1,) * 2)
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        end, text = "read", str(act())
    except SeedStoryError as error:
        end, text = "refused", str(error)
    except BaseException as error:  # noqa: BLE001 - to name whatever came is the point
        end, text = type(error).__name__, str(error)
    took = time.process_time() - began
    return Cost(end, text[:500].replace("\0", ""), took, _status("VmHWM") - before)


def _status(key: str) -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key)) // 1024
