"""Second pictures of the same scenes, drawn otherwise wherever a scene leaves it free."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..picture_world.looks import Look
from ..picture_world.scene import Scene

NATIVE = 64  # side of a render
#: (numbers of panels [B], key of the draw, which of them) -> lists of uint8 [b, S, S, 3], one or
#: none. What is drawn of a panel depends on the key and its place in the batch only.
Twins = Callable[[np.ndarray, str, slice], list[np.ndarray]]


def twins_of(scenes: Sequence[Scene] | None, looks: Sequence[Mapping[str, Look]]) -> Twins:
    """Draws ``scenes`` of Picture World anew; nothing where there are none."""
    if scenes is None:
        return lambda rows, key, mine: []
    from ..picture_world.render import any_freedom, render, rgb

    def twins(rows: np.ndarray, key: str, mine: slice) -> list[np.ndarray]:
        rng = random.Random(key)
        chosen = [(scenes[row], any_freedom(rng), looks[row]) for row in rows][mine]
        return [np.stack([rgb(render(*one)) for one in chosen])]

    return twins
