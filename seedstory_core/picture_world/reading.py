"""Reads captions, told or generated, back into scenes, and names contradictions."""

from __future__ import annotations

from dataclasses import dataclass

from .effects import State
from .grammar import parse
from .meaning import understand
from .scene import Scene


@dataclass(frozen=True)
class Reading:
    """What one caption says.

    Attributes:
        scene: the picture it asks for, taken at its word even where it contradicts the story; None
            where it is not grammatical, or leaves open who or where.
        problems: contradictions with the story so far and within the caption.
        grammatical: it is a sequence of sentences of this world's grammar.
    """

    scene: Scene | None
    problems: tuple[str, ...]
    grammatical: bool


class CaptionReader:
    """Reads the captions of one story in order.

    >>> reader = CaptionReader()
    >>> reader.read("One rainy day, Mila is in the forest.").scene.place
    'forest'
    >>> reader.read("She jumps up and down.").scene.actors[0].action
    'jump'
    >>> reader.read("Mila puts the ball down.").problems
    ('there is no ball', 'Mila does not hold the ball')
    """

    def __init__(self, state: State | None = None) -> None:
        self.state = state or State()

    def read(self, caption: str) -> Reading:
        """Understand the next caption; what is not grammatical changes nothing."""
        sentences = parse(caption)
        if sentences is None:
            return Reading(None, (), False)
        told = understand(self.state, sentences)
        self.state = told.state
        return Reading(told.scene, told.problems, True)
