"""Captions as timed subtitles, SubRip (.srt) and WebVTT (.vtt), for video and speech nodes."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..book.letters import printable
from ..book.text import units
from ..errors import SeedStoryError
from ..files import atomic_write_bytes
from ..types import Story
from .timing import Pace, spans

LINE, LINES = 42, 2  # letters of a line and lines at a time, as broadcasters have them
ARROW = "-->"


@dataclass(frozen=True)
class Cue:
    """One subtitle: seconds, and one or two lines of text."""

    start: float
    end: float
    lines: tuple[str, ...]
    panel: int


def cues(story: Story, pace: Pace | None = None) -> list[Cue]:
    """The captions in pieces of at most two lines, each as long as its share of the letters.

    A panel without a caption has no cue, but its time passes.
    """
    if not story.panels:
        raise SeedStoryError("The story has no panel yet, so there is nothing to subtitle.")
    captions = [printable(panel.caption) for panel in story.panels]
    found: list[Cue] = []
    for index, (caption, (start, end)) in enumerate(
        zip(captions, spans(captions, pace), strict=True)
    ):
        pieces = list(_pieces(caption.replace("\n", " ")))
        total = sum(len("".join(lines)) for lines in pieces)
        at, done = start, 0
        for lines in pieces:
            done += len("".join(lines))
            until = start + (end - start) * done / total
            found.append(Cue(round(at, 3), round(until, 3), lines, index))
            at = until
    return found


def _pieces(text: str) -> Iterator[tuple[str, ...]]:
    lines: list[str] = []
    line = ""
    for unit in units(text):
        for part in (unit[i : i + LINE] for i in range(0, len(unit), LINE)):
            if line and len((line + part).rstrip()) > LINE:
                lines.append(line.strip())
                line = ""
                if len(lines) == LINES:
                    yield tuple(lines)
                    lines = []
            line += part
    if line.strip():
        lines.append(line.strip())
    if lines:
        yield tuple(lines)


def srt(found: Sequence[Cue]) -> str:
    """SubRip text. It knows no escapes: ``-->`` becomes an arrow, ``<`` and ``{`` look-alikes."""
    blocks = []
    for number, cue in enumerate(found, start=1):
        plain = "\n".join(cue.lines).replace(ARROW, "\u2192").replace("<", "\u2039")
        plain = plain.replace("{", "(").replace("}", ")")
        times = f"{_clock(cue.start, ',')} {ARROW} {_clock(cue.end, ',')}"
        blocks.append(f"{number}\n{times}\n{plain}\n")
    return "\n".join(blocks)


def vtt(found: Sequence[Cue]) -> str:
    """WebVTT text; captions are escaped."""
    blocks = ["WEBVTT\n"]
    for number, cue in enumerate(found, start=1):
        text = html.escape("\n".join(cue.lines), quote=False)
        times = f"{_clock(cue.start, '.')} {ARROW} {_clock(cue.end, '.')}"
        blocks.append(f"{number}\n{times}\n{text}\n")
    return "\n".join(blocks)


def write_subtitles(story: Story, path: Path, pace: Pace | None = None) -> Path:
    """Write ``.srt`` or ``.vtt``, by the ending of ``path``."""
    text = (vtt if path.suffix.lower() == ".vtt" else srt)(cues(story, pace))
    atomic_write_bytes(path, text.encode())
    return path


def _clock(seconds: float, point: str) -> str:
    whole = round(seconds * 1000)
    hours, rest = divmod(whole, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"
