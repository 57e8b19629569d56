"""Peak memory of a process, sampled from /proc: anonymous (its own) apart from mapped files."""

from __future__ import annotations

import re
import threading
from pathlib import Path

INTERVAL = 0.02  # seconds between samples
_FIELDS = {"anonymous": "RssAnon", "files": "RssFile", "shared": "RssShmem", "all": "VmRSS"}


def rss(pid: int | str = "self") -> dict[str, int]:
    """Bytes now, by kind; empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    found = {kind: re.search(rf"{name}:\s+(\d+) kB", text) for kind, name in _FIELDS.items()}
    return {kind: int(match[1]) * 1024 for kind, match in found.items() if match}


class Peak:
    """Samples a process while the block runs; ``bytes[kind]`` is the largest seen."""

    def __init__(self, pid: int | str = "self") -> None:
        self.bytes: dict[str, int] = {}
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Peak:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            self._sample()

    def _sample(self) -> None:
        for kind, value in rss(self._pid).items():
            self.bytes[kind] = max(self.bytes.get(kind, 0), value)
