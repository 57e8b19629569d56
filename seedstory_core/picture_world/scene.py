"""What a picture of Picture World shows, before anything is drawn or said: the scene graph."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import SeedStoryError

#: Who lives here. `GUEST` is drawn by the same brush but never met in the shipped world: it is the
#: seventh character that the adaptation example learns.
CAST = ("Mila", "Bruno", "Pip", "Luna", "Fenn", "Tilda")
GUEST = "Olive"

PLACES = ("meadow", "forest", "beach", "village", "mountain", "lake", "garden", "kitchen")
INDOORS = frozenset({"kitchen"})
TIMES = ("day", "sunset", "night")
WEATHERS = ("clear", "rain", "snow")
PROPS = ("ball", "lantern", "basket", "umbrella", "kite", "book", "key", "cake")
ACTIONS = ("stand", "walk", "wave", "jump", "sit", "sleep")
#: Shown as a sign over the head: nothing, a heart, a tear, an exclamation mark, a speech bubble.
MOODS = ("calm", "happy", "sad", "surprised", "talking")
MAX_ACTORS = 3


@dataclass(frozen=True)
class Actor:
    """One character in the picture.

    Attributes:
        holds: at most one actor of a scene holds something, and then nothing lies on the ground.
    """

    name: str
    action: str = "stand"
    mood: str = "calm"
    holds: str | None = None


@dataclass(frozen=True)
class Scene:
    """Everything a caption or a probe may speak of.

    Attributes:
        actors: from left to right, 1 to 3. A sleeper's mood is ``calm`` (its sign is a ``z``), and
            it holds nothing.
        item: a prop on the ground, right of all actors; None if someone holds a prop or there is
            none.
        weather: falls outdoors; indoors it is seen through the window.
    """

    place: str
    time: str
    weather: str
    actors: tuple[Actor, ...]
    item: str | None = None

    @property
    def prop(self) -> str | None:
        """The one prop in the picture, held or lying."""
        held = [actor.holds for actor in self.actors if actor.holds]
        return held[0] if held else self.item

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that `from_json` reads back to an equal value."""
        return {**asdict(self), "actors": [asdict(actor) for actor in self.actors]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Scene:
        """Read a scene graph.

        Raises:
            SeedStoryError: it is not a scene of this world.
        """
        try:
            actors = tuple(Actor(**actor) for actor in data["actors"])
            scene = cls(**{**data, "actors": actors})
        except (TypeError, KeyError) as error:
            raise SeedStoryError(f"Not a scene graph of Picture World: {error}.") from error
        check_scene(scene)
        return scene


@dataclass(frozen=True)
class Freedom:
    """What no caption says and the painter may choose: the free variation of a picture.

    Attributes:
        shift: where the group stands in the room that is left, 0 (left) to 1 (right); drawn on
            whole cells of 8 px.
        gap: share of the room left that goes between the actors.
        mirror: a lone actor that holds nothing looks to the left.
        scenery: number of the scenery's variant, 0 to `SCENERIES` - 1.
    """

    shift: float = 0.5
    gap: float = 0.0
    mirror: bool = False
    scenery: int = 0


SCENERIES = 2


def check_scene(scene: Scene) -> None:
    """Refuse what cannot be drawn.

    Raises:
        SeedStoryError: an unknown word, too many actors or props, the same actor twice.
    """
    names = [actor.name for actor in scene.actors]
    held = [actor.holds for actor in scene.actors if actor.holds]
    known = (
        (scene.place, PLACES),
        (scene.time, TIMES),
        (scene.weather, WEATHERS),
        *((actor.action, ACTIONS) for actor in scene.actors),
        *((actor.mood, MOODS) for actor in scene.actors),
        *((name, (*CAST, GUEST)) for name in names),
        *((prop, PROPS) for prop in (*held, scene.item) if prop is not None),
    )
    wrong = [word for word, words in known if word not in words]
    if wrong:
        raise SeedStoryError(f"Picture World has no {', '.join(map(repr, wrong))}.")
    if not 1 <= len(names) <= MAX_ACTORS or len(set(names)) != len(names):
        raise SeedStoryError(f"A scene has 1 to {MAX_ACTORS} different actors, got {names}.")
    if len(held) + (scene.item is not None) > 1:
        raise SeedStoryError("A scene has at most one prop, held or lying.")
    if any(a.action == "sleep" and (a.holds or a.mood != "calm") for a in scene.actors):
        raise SeedStoryError("A sleeper is calm and holds nothing.")
