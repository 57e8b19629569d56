"""A text as pages have it: composed, in plain spaces, without what cannot be seen."""

from __future__ import annotations

import re
import unicodedata

MAX_TEXT = 20_000  # characters of a caption that are looked at
ELLIPSIS = "\u2026"
#: Marks that one letter bears, as Unicode's Stream-Safe Text Format has it (UAX #15, section 13).
#: Composing sorts them, and takes time with the square of their number.
MOST_MARKS = 30
_NEVER = ("Cc", "Cs", "Co", "Cn")  # categories: control, half letters, private, unassigned
_JOINERS = "\ufe0e\ufe0f\u200b\ufeff\u00ad"  # of emoji and words, and marks without a width


def printable(text: str, most: int = MAX_TEXT) -> str:
    """``text`` composed, without control characters and emoji joiners; line breaks stay.

    Args:
        most: characters that are looked at.
    """
    composed = unicodedata.normalize("NFC", _bearable(text[:most]))
    kept = (
        "\n" if char in "\n\u2028\u2029" else " " if char.isspace() else char
        for char in composed
        if char.isspace() or unicodedata.category(char) not in _NEVER
    )
    return tidy("".join(char for char in kept if char not in _JOINERS))


def unprintable(text: str) -> set[str]:
    """Characters of ``text`` that `printable` leaves out although a font may show them: private
    ones, and those that this version of Unicode does not know yet."""
    return {char for char in set(text) if unicodedata.category(char) in ("Co", "Cn")}


def tidy(text: str) -> str:
    """One space between words, at most one empty line between paragraphs."""
    spaced = re.sub(r" ?\n ?", "\n", re.sub(r"[^\S\n]+", " ", text))
    return re.sub(r"\n{3,}", "\n\n", spaced).strip()


def _bearable(text: str) -> str:
    """``text`` with at most `MOST_MARKS` marks on a letter."""
    if text.isascii():
        return text
    kept, marks = [], 0
    for char in text:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks <= MOST_MARKS:
            kept.append(char)
    return "".join(kept)
