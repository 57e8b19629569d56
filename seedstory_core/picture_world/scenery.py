"""The scenery behind the figures: 8 places by day, sunset and night, dry, in rain and in snow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np

from .palette import CLEAR, COLOUR, Indices, inked, stamp
from .scene import INDOORS
from .scenery_shapes import PLACE_SHAPES
from .scenery_sky import SKY_SHAPES

_SHAPES = {**SKY_SHAPES, **PLACE_SHAPES}
#: Width and height of a picture and the edge of its cells, px.
SIZE, CELL = 64, 8
#: Where the ground begins.
HORIZON = 40
_PREFIX = {"day": "day_", "sunset": "eve_", "night": "night_"}
_TIMED = {
    "S": "sky",
    "H": "haze",
    "k": "cloud",
    "F": "far",
    "g": "grass",
    "h": "turf",
    "l": "leaf",
    "d": "shade",
    "t": "turf",
    "w": "wood",
    "x": "timber",
    "a": "water",
    "f": "foam",
    "b": "beach",
    "p": "path",
    "r": "rock",
    "c": "crag",
    "G": "rock",
    "C": "crag",
    "s": "snow",
    "m": "wall",
    "q": "roof",
    "n": "roof",
}
_OVERCAST = {"S": "overcast", "H": "drizzle", "k": "thunder"}
_SNOWED = {"g": "snow", "h": "frost", "F": "frost", "b": "snow", "p": "frost", "t": "snow"} | {
    "n": "snow",
    "G": "snow",
    "C": "frost",
}
_CLOUDS = {"day": "white", "sunset": "eve_cloud", "night": "night_haze"}
_FIXED = {"M": "moon", "o": "rain", "W": "white", "R": "red", "Y": "yellow", "K": "pink"}


class _Easel:
    """A canvas with the colours of a time and a weather.

    Attributes:
        weather: what colours the picture; `clear` indoors.
        outside: the weather seen through a window.
    """

    def __init__(self, time: str, outside: str, scenery: int, indoors: bool = False) -> None:
        weather = "clear" if indoors else outside
        self.time, self.weather, self.outside, self.scenery = time, weather, outside, scenery
        roles = _TIMED | (_OVERCAST if weather != "clear" else {})
        roles |= _SNOWED if weather == "snow" else {}
        self.inks = {letter: _PREFIX[time] + role for letter, role in roles.items()} | _FIXED
        self.inks |= {"y": "yellow", "e": "cyan"}
        if time != "night":
            self.inks |= {"x": "umber"}
        if weather == "clear":
            self.inks |= {"k": _CLOUDS[time]}
        self.canvas = np.full((SIZE, SIZE), COLOUR[self.inks["S"]], np.uint8)

    def pick(self, *values: int) -> int:
        """The value of this variant of the scenery."""
        return values[self.scenery % len(values)]

    def band(self, letter: str, top: int, bottom: int) -> None:
        """A flat band over the full width."""
        self.canvas[top:bottom] = COLOUR[self.inks[letter]]

    def put(self, name: str, x: int, y: int, **inks: str) -> None:
        """A shape; keywords exchange letters for named colours."""
        stamp(self.canvas, inked(_SHAPES[name], self.inks | inks), x, y)

    def row(self, name: str, y: int, columns: Iterable[int] = range(0, SIZE, CELL)) -> None:
        """A shape at several places of a row."""
        for x in columns:
            self.put(name, x, y)

    def cover(self, name: str, top: int = 0, bottom: int = SIZE) -> None:
        """A tile over a whole band."""
        tile = inked(_SHAPES[name], self.inks)
        repeats = (-(-(bottom - top) // tile.shape[0]), -(-self.canvas.shape[1] // tile.shape[1]))
        sheet = np.tile(tile, repeats)[: bottom - top, : self.canvas.shape[1]]
        np.copyto(self.canvas[top:bottom], sheet, where=sheet != CLEAR)


def _sky(easel: _Easel) -> None:
    easel.band("H", 16, SIZE)
    if easel.weather != "clear":
        easel.row("overcast", 0, range(0, SIZE, 16))
        easel.row("cloud", 8, (easel.pick(0, 16), easel.pick(32, 48)))
    elif easel.time == "day":
        easel.put("sun", easel.pick(48, 0), 0)
        easel.row("cloud", 8, (easel.pick(0, 40),))
        easel.row("cloud", 0, (easel.pick(24, 16),))
    elif easel.time == "sunset":
        easel.put("sun", easel.pick(40, 8), 16)
        easel.row("cloud", 0, (easel.pick(8, 24),))
        easel.row("cloud", 8, (easel.pick(24, 48),))
    else:
        easel.cover("stars", 0, 32)
        easel.canvas[0:16, easel.pick(48, 0) : easel.pick(64, 16)] = COLOUR[easel.inks["S"]]
        easel.put("moon", easel.pick(48, 0), 2)


def _meadow(easel: _Easel) -> None:
    for x in (easel.pick(-16, 0), easel.pick(16, 32), easel.pick(48, 64)):
        easel.put("hill", x, 32)
    easel.put("tree", easel.pick(0, 48), 24)
    easel.band("g", HORIZON, SIZE)
    easel.row("flowers", 56)
    easel.row("tuft", HORIZON, (easel.pick(8, 0), easel.pick(40, 24), easel.pick(56, 48)))


def _forest(easel: _Easel) -> None:
    easel.band("d", 32, HORIZON)
    easel.row("fir", 8, (easel.pick(8, 0), easel.pick(40, 32)))
    easel.row("fir", 16, (easel.pick(-8, -16), 24 if easel.scenery else 16, easel.pick(56, 48)))
    easel.row("fir", 16, (easel.pick(24, 16),))
    easel.band("g" if easel.weather == "snow" else "h", HORIZON, SIZE)
    easel.row("mushroom", 56, (easel.pick(0, 16), easel.pick(40, 56)))


def _beach(easel: _Easel) -> None:
    easel.band("a", 24, HORIZON)
    easel.cover("waves", 24, HORIZON)
    easel.put("sail", easel.pick(24, 40), 16)
    easel.band("b", HORIZON, SIZE)
    easel.put("palm", easel.pick(0, 48), 16)
    easel.row("shell", 56, (easel.pick(8, 24), easel.pick(48, 56)))


def _village(easel: _Easel) -> None:
    roofs = ("water", "roof", "water") if easel.scenery else ("roof", "water", "roof")
    for x, role in zip((0, 24, 48), roofs, strict=True):
        roof = _PREFIX[easel.time] + role
        ridge = easel.inks["n"] if easel.weather == "snow" else roof
        easel.put("house", x, 16, q=roof, n=ridge)
    easel.band("g", HORIZON, SIZE)
    easel.row("cobbles", 56)


def _mountain(easel: _Easel) -> None:
    easel.put("peak", easel.pick(32, 0), 16)
    easel.put("peak", easel.pick(0, 32), 16)
    easel.put("peak", easel.pick(16, 16), 24)
    easel.band("G", HORIZON, SIZE)
    easel.row("pebbles", 56, range(0, SIZE, 16))


def _lake(easel: _Easel) -> None:
    for x in (easel.pick(0, -16), easel.pick(32, 16), 48):
        easel.put("hill", x, 24)
    easel.band("a", 32, 48)
    easel.cover("waves", 32, 48)
    easel.put("pier", easel.pick(40, 0), 32)
    easel.band("g", 48, SIZE)
    easel.row("reeds", 32, (easel.pick(0, 56), easel.pick(8, 48)))
    easel.row("tuft", 56, range(0, SIZE, 16))


def _garden(easel: _Easel) -> None:
    easel.put("tree", easel.pick(0, 48), 16)
    easel.put("apples", easel.pick(0, 48), 16)
    easel.row("sunflower", 16, (easel.pick(32, 0), easel.pick(48, 16)))
    for x in range(0, SIZE, CELL):
        easel.put("fence", x, 24, s=easel.inks["p" if easel.weather == "snow" else "s"])
    easel.band("g", HORIZON, SIZE)
    easel.row("bed", 56)


def _kitchen(easel: _Easel) -> None:
    easel.band("m", 0, HORIZON)
    easel.cover("paper", 0, 32)
    easel.band("p", 32, HORIZON)
    easel.cover("tiles", HORIZON, SIZE)
    easel.put("stove", easel.pick(0, 48), 16)
    easel.row("shelf", 8, (easel.pick(48, 0),))
    easel.canvas[4:32, 20:44] = COLOUR[easel.inks["x"]]
    easel.canvas[6:30, 22:42] = _window(easel.time, easel.outside)
    easel.canvas[6:30, 31:33] = COLOUR[easel.inks["x"]]
    easel.canvas[17:18, 22:42] = COLOUR[easel.inks["x"]]


def _window(time: str, weather: str) -> Indices:
    """What is seen through the kitchen's window, [24, 20]."""
    easel = _Easel(time, weather, 1)
    _sky(easel)
    if time == "sunset" and weather == "clear":
        easel.put("sun", 2, 6)
    easel.band("g", 16, SIZE)
    _weather(easel)
    return easel.canvas[0:24, 0:20]


def _weather(easel: _Easel) -> None:
    if easel.weather == "rain":
        easel.cover("rain")
    elif easel.weather == "snow":
        easel.cover("flakes")


_PAINTERS: dict[str, Callable[[_Easel], None]] = {
    "meadow": _meadow,
    "forest": _forest,
    "beach": _beach,
    "village": _village,
    "mountain": _mountain,
    "lake": _lake,
    "garden": _garden,
    "kitchen": _kitchen,
}


@lru_cache(maxsize=512)
def backdrop(place: str, time: str, weather: str, scenery: int) -> Indices:
    """The picture before anybody enters it, [64, 64]; do not write to it."""
    indoors = place in INDOORS
    easel = _Easel(time, weather, scenery, indoors)
    if not indoors:
        _sky(easel)
    _PAINTERS[place](easel)
    if not indoors:
        _weather(easel)
    easel.canvas.setflags(write=False)
    return easel.canvas
