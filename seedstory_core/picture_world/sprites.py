"""Figures put together like paper dolls: tail, body, head, face, accessory."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .looks import Look
from .palette import CLEAR, COLOUR, INKS, Indices, inked, stamp
from .sprites_bodies import ARMS, BODIES, TAIL_IN_FRONT, TAILS
from .sprites_heads import EYE_MOODS, EYES, HEADS, MOUTH_MOODS
from .sprites_props import ACCESSORIES, PAW, PROPS_ART, SIGNS

#: Width and height of a figure's box, px.
FIGURE_WIDTH, FIGURE_HEIGHT = 16, 24
#: Rows the head sinks in a pose.
_SINKS = {"walk": 1, "sit": 4, "sleep": 8}
#: Rows that what is worn round the neck is lifted, so that paws do not hide it.
_NECK_LIFTS = {"sit": 1, "sleep": 2}
_CHIN = 12
_EYE_GROUND = {"owl": "l", "penguin": "l"}
_BEAKS = frozenset({"owl", "penguin"})


def _inks(look: Look) -> dict[str, str]:
    return {
        **INKS,
        "f": look.fur,
        "d": look.shade,
        "l": look.light,
        "m": look.nose,
        "t": look.feet,
        "p": "blush",
        "e": "ink",
        "s": "gold" if look.species == "turtle" else "ash",
        "S": "umber" if look.species == "turtle" else "smoke",
    }


def _face(look: Look, mood: str) -> Indices:
    inks = _inks(look)
    head = inked(HEADS[look.species], inks)
    ground = inks[_EYE_GROUND.get(look.species, "f")]
    if mood in EYE_MOODS:
        for row, column in EYES:
            for dy, letters in enumerate(EYE_MOODS[mood]):
                for dx, letter in enumerate(letters):
                    if letter == "e" or head[row - 1 + dy, column - 1 + dx] == COLOUR["ink"]:
                        name = "ink" if letter == "e" else ground
                        head[row - 1 + dy, column - 1 + dx] = COLOUR[name]
    if mood in MOUTH_MOODS and look.species not in _BEAKS:
        mouth = inked("\n".join(MOUTH_MOODS[mood]), inks)
        stamp(head, mouth, 6, 11)
    return head


def _put_tail(box: Indices, look: Look, sink: int) -> None:
    row, column, art = TAILS[look.species]
    stamp(box, inked(art, _inks(look)), column, row + min(sink, 2))


@lru_cache(maxsize=4096)
def figure(look: Look, action: str, mood: str, left: bool) -> Indices:
    """One character in its box [24, 16], clear where nothing is drawn.

    Args:
        mood: its face; `asleep` is drawn for sleepers whatever is said.
        left: look to the left instead of to the right.
    """
    box = np.full((FIGURE_HEIGHT, FIGURE_WIDTH), CLEAR, np.uint8)
    inks = _inks(look)
    sink = _SINKS.get(action, 0)
    asleep = action == "sleep"
    tail = look.species in TAILS and not asleep
    if tail and look.species not in TAIL_IN_FRONT:
        _put_tail(box, look, sink)
    row, art = BODIES[action]
    stamp(box, inked(art, inks), 0, row)
    if tail and look.species in TAIL_IN_FRONT:
        _put_tail(box, look, sink)
    stamp(box, _face(look, "asleep" if asleep else mood), 0, sink)
    if look.accessory is not None:
        row, art = ACCESSORIES[look.accessory]
        lift = _NECK_LIFTS.get(action, 0) if row > _CHIN else 0
        stamp(box, inked(art, INKS), 0, row + sink - lift)
    for row, column, art in ARMS.get(action, ()):
        stamp(box, inked(art, inks), column, row)
    return box[:, ::-1].copy() if left else box


@lru_cache(maxsize=64)
def prop(name: str) -> Indices:
    """A prop, 16 x 16 px at most, standing on the lower edge of its box."""
    art = inked(PROPS_ART[name].strip("\n"), INKS)
    box = np.full((16, 16), CLEAR, np.uint8)
    stamp(box, art, (16 - art.shape[1]) // 2, 16 - art.shape[0])
    return box


@lru_cache(maxsize=64)
def paw(look: Look) -> Indices:
    """The paw that holds a prop, seen at the prop's inner edge."""
    return inked(PAW, _inks(look))


@lru_cache(maxsize=8)
def sign(name: str) -> Indices:
    """The 8 x 8 px sign of a mood, or the `sleep` sign."""
    box = np.full((8, 8), CLEAR, np.uint8)
    stamp(box, inked(SIGNS[name], INKS), 0, 0)
    return box
