"""Random choices that no Python version changes: they use ``random.Random.random`` only."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def pick(rng: random.Random, choices: Sequence[T]) -> T:
    """One of ``choices``."""
    return choices[int(rng.random() * len(choices))]


def mix(rng: random.Random, values: Sequence[T]) -> tuple[T, ...]:
    """``values`` in random order."""
    rest, mixed = list(values), []
    while rest:
        mixed.append(rest.pop(int(rng.random() * len(rest))))
    return tuple(mixed)
