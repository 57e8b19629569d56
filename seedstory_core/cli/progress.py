"""A progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
import unicodedata

WIDTH = 20
PAUSE = 0.05  # seconds between two drawings


class Bar:
    """Shows how far a stage is; is itself the `Progress` that engines and painters report to.

    Args:
        label: what is being done, as ``Telling``.
        total: panels of this stage; `finish` counts them.
    """

    def __init__(self, label: str, total: int) -> None:
        self._label, self._total, self._done = label, total, 0
        self._terminal = sys.stdout.isatty()
        self._begun, self._drawn = time.monotonic(), 0.0
        self._full, self._empty = _blocks()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if self._terminal and now - self._drawn >= PAUSE:
            self._drawn = now
            share = (self._done + (done / total if total else 0)) / max(1, self._total)
            print(f"\r{self._line(min(1.0, share), note)}\x1b[K", end="", flush=True)

    def finish(self, text: str) -> None:
        """One more panel is done; ``text`` stays on the screen."""
        self._done += 1
        start = "\r" if self._terminal else ""
        end = "\x1b[K" if self._terminal else ""
        print(f"{start}{self._label} {self._done}/{self._total}  {text}{end}", flush=True)

    def clear(self) -> None:
        """Take the bar off the screen."""
        if self._terminal:
            print("\r\x1b[K", end="", flush=True)

    def _line(self, share: float, note: str) -> str:
        filled = round(share * WIDTH)
        bar = self._full * filled + self._empty * (WIDTH - filled)
        spent = time.monotonic() - self._begun
        left = f" {_clock(spent / share - spent)} left" if share > 0.02 and spent > 2 else ""
        head = f"{self._label} {self._done}/{self._total} {bar}{left}  "
        return head + shorten(note, shutil.get_terminal_size().columns - len(head) - 1)


def shorten(text: str, columns: int) -> str:
    """The end of ``text`` that fits into so many terminal columns, on one line."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    kept, width = "", 0
    for char in reversed(plain):
        width += 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if width > columns:
            break
        kept = char + kept
    return kept


def _clock(seconds: float) -> str:
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def _blocks() -> tuple[str, str]:
    try:
        "\u2588\u2591".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "#", "-"
    return "\u2588", "\u2591"
