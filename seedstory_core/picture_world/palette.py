"""The fixed palette of Picture World: named flat colours, and how indices become RGB."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.uint8]

#: Colours of figures, props and signs. They are the same by day and by night.
FIGURE_COLOURS = {
    "ink": "221c33",
    "white": "ffffff",
    "pearl": "cfd3e6",
    "red": "e8333f",
    "maroon": "a11d3a",
    "yellow": "ffd83a",
    "gold": "d9981e",
    "orange": "f58420",
    "blue": "2f7cf0",
    "cyan": "2fd6d0",
    "green": "35b34a",
    "pine": "1b7a3c",
    "violet": "a94be0",
    "plum": "6f2aa8",
    "pink": "ff7fb8",
    "rose": "d8478c",
    "blush": "f5a0a8",
    "cream": "fff1dc",
    "brown": "b0693a",
    "umber": "6b3a22",
    "tan": "e0b077",
    "slate": "4a5f96",
    "ash": "a3a2ba",
    "smoke": "747290",
    "ginger": "f28a35",
    "rust": "b9531d",
    "lime": "9bd35a",
    "moss": "5f9e3c",
    "sand": "cbb489",
    "bark": "8f7655",
    "ivory": "f6efe6",
}

#: Colours of the scenery, day, sunset and night.
SCENERY_COLOURS = {
    "day_sky": "7cc8fa",
    "day_haze": "b5e4ff",
    "day_overcast": "8394aa",
    "day_drizzle": "9db0c3",
    "day_thunder": "66768f",
    "day_far": "8fcf8a",
    "day_grass": "86c95a",
    "day_turf": "6cb24a",
    "day_leaf": "3f9450",
    "day_shade": "2c6e47",
    "day_wood": "a2764e",
    "day_water": "3f9fe0",
    "day_foam": "8ed4f5",
    "day_beach": "f7dfa0",
    "day_path": "e6c682",
    "day_rock": "98a0b5",
    "day_crag": "737b94",
    "day_snow": "f2f6ff",
    "day_frost": "cfdcf0",
    "day_wall": "fbe9c6",
    "day_roof": "d9604c",
    "eve_sky": "f98b6b",
    "eve_haze": "ffc27d",
    "eve_overcast": "bd8791",
    "eve_drizzle": "d6a39b",
    "eve_cloud": "ffdcb8",
    "eve_thunder": "8f6480",
    "eve_far": "c98a63",
    "eve_grass": "b3a650",
    "eve_turf": "968a48",
    "eve_leaf": "6e7a43",
    "eve_shade": "53583f",
    "eve_wood": "91603f",
    "eve_water": "b0658f",
    "eve_foam": "ffb08e",
    "eve_beach": "f2bd84",
    "eve_path": "d9a468",
    "eve_rock": "a97f8c",
    "eve_crag": "81607a",
    "eve_snow": "ffdfd3",
    "eve_frost": "e3b1b4",
    "eve_wall": "f7c596",
    "eve_roof": "b84a4a",
    "night_sky": "1c2152",
    "night_haze": "2b3472",
    "night_overcast": "3a4060",
    "night_drizzle": "4a5274",
    "night_thunder": "2a2e4a",
    "night_far": "2b4a68",
    "night_grass": "2e5f5c",
    "night_turf": "254c54",
    "night_leaf": "2b7566",
    "night_shade": "1a4750",
    "night_wood": "54425c",
    "night_timber": "3a2d4a",
    "night_water": "2a4a96",
    "night_foam": "5078c0",
    "night_beach": "807a98",
    "night_path": "6b6584",
    "night_rock": "525a86",
    "night_crag": "3b4270",
    "night_snow": "a3b2de",
    "night_frost": "7b8abd",
    "night_wall": "857a9c",
    "night_roof": "6a3a66",
    "rain": "d4eeff",
    "moon": "fdf3c0",
}

_COLOURS = {**FIGURE_COLOURS, **SCENERY_COLOURS}

#: uint8 [N, 3]: what an index of a picture looks like.
PALETTE: Indices = np.array([list(bytes.fromhex(value)) for value in _COLOURS.values()], np.uint8)
PALETTE.setflags(write=False)

#: Index of a colour by its name.
COLOUR = {name: index for index, name in enumerate(_COLOURS)}

#: A pixel that lets what is behind it show.
CLEAR = 255

#: Letters of the sprites whose colours never change.
INKS = {
    "#": "ink",
    "w": "white",
    "W": "pearl",
    "r": "red",
    "R": "maroon",
    "y": "yellow",
    "Y": "gold",
    "o": "orange",
    "b": "blue",
    "c": "cyan",
    "g": "green",
    "G": "pine",
    "v": "violet",
    "V": "plum",
    "k": "pink",
    "K": "rose",
    "n": "brown",
    "N": "umber",
    "t": "tan",
    "s": "ash",
    "S": "smoke",
    "u": "cream",
}


def rgb(indices: Indices) -> Indices:
    """Colours of a picture: indices [...] to uint8 [..., 3]."""
    return PALETTE[indices]


def inked(art: str, inks: dict[str, str]) -> Indices:
    """A sprite [height, width] of palette indices from rows of letters; `.` is clear."""
    rows = art.strip("\n").split("\n")
    width = max(map(len, rows))
    table = {letter: COLOUR[name] for letter, name in inks.items()} | {".": CLEAR, " ": CLEAR}
    return np.array([[table[letter] for letter in row.ljust(width)] for row in rows], np.uint8)


def stamp(canvas: Indices, sprite: Indices, x: int, y: int) -> None:
    """Put a sprite on a canvas, in place; what hangs over the edges is cut off."""
    height, width = canvas.shape
    top, left = max(0, -y), max(0, -x)
    part = sprite[top : max(top, height - y), left : max(left, width - x)]
    target = canvas[y + top : y + top + part.shape[0], x + left : x + left + part.shape[1]]
    np.copyto(target, part, where=part != CLEAR)
