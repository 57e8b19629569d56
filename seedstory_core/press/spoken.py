"""Which words of a story stay under its pictures, and which stand on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..book.letters import ELLIPSIS, printable
from .balloons import Balloon, found_in
from .settings import BookSettings


def spoken(captions: Sequence[str], settings: BookSettings) -> list[tuple[str, list[Balloon]]]:
    """For each panel what stays under its picture, and its balloons; those by hand come last."""
    own: dict[int, list[Balloon]] = {}
    for balloon in settings.balloons:
        text = printable(balloon.text) or ELLIPSIS
        own.setdefault(balloon.panel, []).append(replace(balloon, text=text))
    found: list[tuple[str, list[Balloon]]] = []
    for index, caption in enumerate(captions):
        kept, made = found_in(index, caption) if settings.quotes else (caption, [])
        found.append((kept, [*made, *own.get(index, [])]))
    return found
