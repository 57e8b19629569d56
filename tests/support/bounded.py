"""Runs work in a child with a bound on CPU time and memory, so that an endless one is a failure."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import TextIO

import torch

if sys.platform != "win32":
    import resource

GB = 1 << 30


def bounded(jobs: Iterable[tuple[str, Callable[[], str]]], each: float, memory: int) -> list[str]:
    """Runs each job in one child and returns what they complain of; "" is no complaint.

    Args:
        jobs: name and work; the work says "" or what was wrong.
        each: seconds of CPU that one job may take.
        memory: bytes that the child may take beyond what it has at its start.

    A job that never ends, or takes the memory, ends the child; it is named then.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        with open(writer, "w") as told:
            _work(jobs, each, memory, told)
        os._exit(0)
    os.close(writer)
    with open(reader) as told:
        lines = told.read().splitlines()
    os.waitpid(pid, 0)
    complaints = [line.removeprefix("BAD ") for line in lines if line.startswith("BAD ")]
    if not lines or lines[-1] != "DONE":
        complaints.append(f"the child ended in: {lines[-1] if lines else 'its start'}")
    return complaints


def _work(
    jobs: Iterable[tuple[str, Callable[[], str]]], each: float, memory: int, told: TextIO
) -> None:
    torch.set_num_threads(1)  # threads of the parent do not live on in a child
    say = lambda line: print(line.replace("\n", " "), file=told, flush=True)  # noqa: E731
    most = _data() + memory
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, job in jobs:
        say(f"AT {name}")
        # whole seconds only: a job that takes far too long is killed
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + each) + 2, -1))
        began = time.process_time()
        try:
            complaint = job()
        except BaseException as error:  # noqa: BLE001 - named, whatever it is
            complaint = f"{type(error).__name__}: {error}"
        took = time.process_time() - began
        if took > each:
            complaint += f" ({took:.1f} s of CPU)"
        if complaint:
            say(f"BAD {name}: {complaint[:300]}")
    say("DONE")


def _data() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmData"))
