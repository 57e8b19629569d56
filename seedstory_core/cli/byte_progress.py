"""One line on a terminal that counts bytes; silent where nobody watches."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from ..files import human

SMALL = 1 << 20  # totals below this are counts of things, not bytes


class ByteProgress:
    """A `Progress` for long file work: what, how far, how fast, how long still."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._shown = self._stream.isatty()
        self._note = ""
        self._start = self._last = 0.0
        self._begin = 0

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if note != self._note:
            self._note, self._start, self._begin, self._last = note, now, done, 0.0
        if not self._shown or (now - self._last < 0.2 and done < total):
            return
        self._last = now
        speed = (done - self._begin) / max(now - self._start, 1e-3)
        left = f", {(total - done) / speed:.0f} s left" if speed and done < total else ""
        amount = f"{human(done)} of {human(total)}" if total >= SMALL else f"{done} of {total}"
        rate = f", {human(speed)}/s" if total >= SMALL else ""
        end = "\n" if done >= total else ""
        print(f"\r\033[K{note}: {amount}{rate}{left}", end=end, file=self._stream, flush=True)
