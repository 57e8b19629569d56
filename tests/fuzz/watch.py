"""Runs one input, and says what came of it: CPU time, memory, and what it should not have done."""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

SECONDS = 2.0  # of CPU that an input may take
MEGABYTES = 500  # that it may take above what the process had before
STOP = 8.0  # seconds of CPU after which it is ended
ROOM = 1 << 31  # bytes of data after which it gets no more
LONGEST = 6000  # characters of an error that a person still reads
OURS = ("seedstory_core", "nodes", "tests")  # folders of the repository, in traces
#: What no reader of a file may do.
_FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn",
              "os.startfile", "socket.connect", "webbrowser.open")  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_LINE = re.compile(r"^(\w+):\s+(\d+) kB", re.M)


@dataclass(frozen=True)
class Outcome:
    """What came of one input.

    Attributes:
        word: ``read`` and ``refused`` are sound; ``raw``, ``slow``, ``large``, ``killed``,
            ``reached`` (a program started, or a file beside its folder touched) are faults.
        where: of a fault: the error's class and the innermost place in the repository.
        text: the error.
        seconds: of CPU. ``megabytes``: of memory above the base.
    """

    kind: str
    seed: int
    word: str
    where: str = ""
    text: str = ""
    seconds: float = 0.0
    megabytes: int = 0

    @property
    def sound(self) -> bool:
        return self.word in ("read", "refused")

    def __str__(self) -> str:
        size = f"{self.seconds:.2f} s, +{self.megabytes} MB"
        return f"{self.kind} {self.seed}: {self.word} ({size}) {self.where} {self.text[:300]}"


class Watch:
    """Measures inputs that are read inside of ``folder``; what they do outside is remembered.

    An audit hook cannot be taken off, so this is for processes that do nothing else.
    """

    def __init__(self, folder: Path, secret: Path) -> None:
        self._folder, self._secret = str(folder), str(secret)
        self._reached: list[str] = []
        self._on = False
        sys.addaudithook(self._hear)
        limit = _status()["VmData"] * 1024 + ROOM
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGPROF, signal.SIG_DFL)

    def run(self, kind: str, seed: int, act: Callable[[], object]) -> Outcome:
        """What came of ``act``, which reads the input."""
        self._reached.clear()
        _forget_peak()
        before = _status()["VmRSS"]
        signal.setitimer(signal.ITIMER_PROF, STOP)
        began, self._on = time.process_time(), True
        word, where, text = "read", "", ""
        try:
            act()
        except BaseException as error:  # whatever comes is what is asked for
            word, where, text = _judged(error)
        self._on = False
        seconds = time.process_time() - began
        signal.setitimer(signal.ITIMER_PROF, 0)
        megabytes = max(0, _status()["VmHWM"] - before) // 1024
        if self._reached:
            word, where = "reached", self._reached[0]
        elif seconds > SECONDS and word != "raw":
            word, where = "slow", where or kind
        elif megabytes > MEGABYTES and word != "raw":
            word, where = "large", where or kind
        return Outcome(kind, seed, word, where, text, seconds, megabytes)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event in _FORBIDDEN:
            self._reached.append(f"{event} {arguments[0]!r:.40}")
        elif event == "open":
            path, _, flags = arguments
            if not isinstance(path, str | bytes | os.PathLike):
                return
            name = os.fsdecode(path)
            if isinstance(flags, int) and flags & _WRITES and not self._may_write(name):
                self._reached.append(f"write to {name:.200}")
            elif name.endswith(os.path.basename(self._secret)):
                if os.path.realpath(name) == self._secret:
                    self._reached.append("the secret file was opened")

    def _may_write(self, name: str) -> bool:
        full = os.path.abspath(name)
        return full.startswith(f"{self._folder}/") or full == os.devnull or full.endswith(".pyc")


def _judged(error: BaseException) -> tuple[str, str, str]:
    """Word, place and text of an error."""
    try:
        text = str(error)
        text.encode()
    except ValueError as fault:  # a sentence that no console can print
        return "raw", f"unprintable message at {_place(error)}", repr(fault)
    named = {base.__name__ for base in type(error).__mro__}
    if "SeedStoryError" in named:
        if len(text) > LONGEST:
            return "raw", f"a message of {len(text)} letters at {_place(error)}", text[:300]
        return "refused", _place(error), text[:2000]
    return "raw", f"{type(error).__name__} at {_place(error)}", text[:2000]


def _place(error: BaseException) -> str:
    """The innermost frame that is ours, as ``file:function:line``."""
    found = ""
    for frame in _frames(error.__traceback__):
        parts = Path(frame.filename).parts
        at = next((i for i, part in enumerate(parts) if part in OURS), None)
        if at is not None and "fuzz" not in parts[at:] and "site-packages" not in parts:
            found = f"{'/'.join(parts[at:])}:{frame.name}:{frame.lineno}"
    return found or "nowhere of ours"


def _frames(trace: TracebackType | None) -> Sequence[traceback.FrameSummary]:
    return traceback.extract_tb(trace)


def _status() -> dict[str, int]:
    """Sizes of this process in KB."""
    with open("/proc/self/status") as file:
        return {name: int(value) for name, value in _LINE.findall(file.read())}


def _forget_peak() -> None:
    """From now on ``VmHWM`` is the peak since now."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
