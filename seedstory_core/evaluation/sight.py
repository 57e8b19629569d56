"""What a probe sees in a picture, and how that compares with what the caption says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..picture_world.scene import CAST, GUEST, Scene

#: Whom the probes know. Everybody else, and creatures mixed of two of them, are strangers.
KNOWN = (*CAST, GUEST)

#: Rows judged of each picture, in the order of the tables. A character that is named and missing
#: fails in every row that speaks of characters.
PICTURE_ROWS: Mapping[str, str] = {
    "present": "named characters present",
    "no_stranger": "no stranger",
    "accessory": "accessory right",
    "colours": "colours right",
    "place": "place right",
    "time": "time right",
    "weather": "weather right",
    "prop": "prop right",
    "holder": "held by the right one",
    "action": "action right",
    "mood": "mood right",
}
ALL_RIGHT = "all_right"


@dataclass(frozen=True)
class Figure:
    """One known character as a probe sees it.

    Attributes:
        accessory, colours: are they this character's own?
    """

    action: str
    mood: str
    holds: bool
    accessory: bool = True
    colours: bool = True


@dataclass(frozen=True)
class Sight:
    """A picture as the probes see it.

    Attributes:
        figures: the known characters in it, by name.
        stranger: a creature that is nobody known is there.
        count: how many creatures are there; more than ``figures`` if somebody is there twice.
    """

    place: str
    time: str
    weather: str
    prop: str | None
    figures: Mapping[str, Figure]
    stranger: bool
    count: int


def sight_of(scene: Scene) -> Sight:
    """What a perfect probe sees in a perfect picture of ``scene``."""
    figures = {
        actor.name: Figure(actor.action, actor.mood, actor.holds is not None)
        for actor in scene.actors
    }
    return Sight(
        scene.place, scene.time, scene.weather, scene.prop, figures, False, len(scene.actors)
    )


def judge_picture(scene: Scene, sight: Sight) -> dict[str, bool]:
    """Every row of `PICTURE_ROWS` and `ALL_RIGHT`: does the picture show the scene?"""
    named = {actor.name: actor for actor in scene.actors}
    seen = {name: sight.figures[name] for name in named if name in sight.figures}
    whole = len(seen) == len(named)
    holders = {name for name, figure in sight.figures.items() if figure.holds}
    rows = {
        "present": whole,
        "no_stranger": not sight.stranger
        and set(sight.figures) <= set(named)
        and sight.count <= len(named),
        "accessory": whole and all(figure.accessory for figure in seen.values()),
        "colours": whole and all(figure.colours for figure in seen.values()),
        "place": sight.place == scene.place,
        "time": sight.time == scene.time,
        "weather": sight.weather == scene.weather,
        "prop": sight.prop == scene.prop,
        "holder": whole and holders == {name for name, actor in named.items() if actor.holds},
        "action": whole and all(seen[name].action == named[name].action for name in named),
        "mood": whole and all(seen[name].mood == named[name].mood for name in named),
    }
    return {**rows, ALL_RIGHT: all(rows.values())}


def judge_appearances(scene: Scene, sight: Sight) -> dict[str, bool]:
    """For each named character: is it there, with its own accessory and colours?"""
    right = {}
    for actor in scene.actors:
        figure = sight.figures.get(actor.name)
        right[actor.name] = figure is not None and figure.accessory and figure.colours
    return right
