"""How long each panel is shown, by how long its caption takes to read."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import SeedStoryError


@dataclass(frozen=True)
class Pace:
    """Reading speed.

    Attributes:
        letters: read in a second; wide ones (Han, kana, hangul) count double.
        shortest, longest: seconds a panel is shown.
        pause: seconds added to each for looking at the picture.
    """

    letters: float = 17.0
    shortest: float = 2.5
    longest: float = 30.0
    pause: float = 1.0

    def __post_init__(self) -> None:
        if not (1 <= self.letters <= 200 and 0.2 <= self.shortest <= self.longest <= 600):
            raise SeedStoryError(
                "Captions are read at 1 to 200 letters a second and shown for 0.2 to 600 seconds, "
                f"got {self.letters:g} letters, {self.shortest:g} to {self.longest:g} seconds."
            )
        if not 0 <= self.pause <= 60:
            raise SeedStoryError(f"The pause is 0 to 60 seconds, got {self.pause:g}.")

    def seconds(self, caption: str) -> float:
        """How long a panel with this caption is shown."""
        wide = sum(unicodedata.east_asian_width(char) in "WF" for char in caption)
        read = (len(caption) + wide) / self.letters
        return round(min(self.longest, max(self.shortest, read + self.pause)), 2)


def spans(captions: Iterable[str], pace: Pace | None = None) -> list[tuple[float, float]]:
    """(start, end) of each panel in seconds, one after the other."""
    pace = pace or Pace()
    found, at = [], 0.0
    for caption in captions:
        end = round(at + pace.seconds(caption), 2)
        found.append((at, end))
        at = end
    return found
