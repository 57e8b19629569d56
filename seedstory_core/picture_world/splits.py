"""Which combinations of character, place, prop and action training never sees."""

from __future__ import annotations

from hashlib import sha256

from .scene import Scene

SPLITS = ("train", "val", "test")
_ONE_IN = 10


def held_out(name: str, place: str, prop: str, action: str) -> bool:
    """Whether training never shows this; a fixed tenth of all combinations.

    >>> held_out("Mila", "forest", "ball", "sit")
    False
    """
    combination = "/".join((name, place, prop, action))
    return int.from_bytes(sha256(combination.encode()).digest()[:4], "big") % _ONE_IN == 0


def scene_is_held_out(scene: Scene) -> bool:
    """Whether any actor of a scene with a prop does what training never shows."""
    prop = scene.prop
    return prop is not None and any(
        held_out(actor.name, scene.place, prop, actor.action) for actor in scene.actors
    )
