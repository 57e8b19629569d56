"""The renderer of Picture World: a scene graph and its freedom to 64 x 64 palette indices."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np

from .looks import LOOKS, Look
from .palette import COLOUR, PALETTE, Indices, rgb, stamp
from .scene import SCENERIES, Actor, Freedom, Scene, check_scene
from .scenery import CELL, HORIZON, SIZE, backdrop
from .sprites import figure, paw, prop, sign

__all__ = ["PALETTE", "any_freedom", "contact_sheet", "draw_freedom", "layout", "render", "rgb"]

_COLUMNS = SIZE // CELL
#: Top of a standing figure's box: its feet are on the sixth row of cells.
_FIGURE_TOP = 32
_SHIFTS = (0.0, 0.5, 1.0)
_GAPS = (0.0, 0.5, 1.0)
_PLAIN = Freedom()


def draw_freedom(rng: random.Random) -> Freedom:
    """What the world's own pictures leave free, deterministic by the generator's seed.

    Less than can be drawn (`any_freedom`): a group stands left, in the middle or right, close
    together. Every further choice is one more thing for a small painter to learn.
    """
    return Freedom(
        shift=rng.choice(_SHIFTS),
        mirror=rng.random() < 0.5,
        scenery=rng.randrange(SCENERIES),
    )


def any_freedom(rng: random.Random) -> Freedom:
    """Anything that can be drawn, for those who only read pictures: tokenizer and probes."""
    return Freedom(
        shift=rng.random(),
        gap=rng.choice(_GAPS),
        mirror=rng.random() < 0.5,
        scenery=rng.randrange(SCENERIES),
    )


def contact_sheet(pictures: Sequence[Indices], columns: int, zoom: int = 1) -> Indices:
    """Pictures side by side with a dark edge of 1 px, enlarged exactly.

    Args:
        pictures: each [64, 64] of indices.

    Returns:
        uint8 [rows * 66 * zoom, columns * 66 * zoom, 3].
    """
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (SIZE + 2), columns * (SIZE + 2)), COLOUR["ink"], np.uint8)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        stamp(sheet, picture, column * (SIZE + 2) + 1, row * (SIZE + 2) + 1)
    return rgb(sheet.repeat(zoom, axis=0).repeat(zoom, axis=1))


def layout(scene: Scene, freedom: Freedom) -> tuple[tuple[int, ...], int | None]:
    """Where everybody stands: the first column of each actor and of the prop, in cells.

    Two columns each; free columns go between the members by `freedom.gap` (earlier gaps first), and
    the whole group moves in what is then left by `freedom.shift`.
    """
    held = [index for index, actor in enumerate(scene.actors) if actor.holds]
    blocks = [4 if actor.holds else 2 for actor in scene.actors]
    blocks += [2] if scene.item else []
    free = _COLUMNS - sum(blocks)
    between = int(_share(freedom.gap) * free) if len(blocks) > 1 else 0
    column = min(int(_share(freedom.shift) * (free - between + 1)), free - between)
    starts = []
    for index, width in enumerate(blocks):
        starts.append(column)
        gaps = len(blocks) - 1
        extra = between // gaps + (index < between % gaps) if gaps else 0
        column += width + extra
    prop_column = starts[-1] if scene.item else (starts[held[0]] + 2 if held else None)
    return tuple(starts[: len(scene.actors)]), prop_column


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def render(scene: Scene, freedom: Freedom = _PLAIN, looks: Mapping[str, Look] = LOOKS) -> Indices:
    """Draw a scene.

    Args:
        looks: how everybody looks; change it to draw what the world does not have.

    Returns:
        uint8 [64, 64], indices into `PALETTE`.

    Raises:
        SeedStoryError: the scene is not of this world.
    """
    check_scene(scene)
    scenery = freedom.scenery % SCENERIES
    canvas = backdrop(scene.place, scene.time, scene.weather, scenery).copy()
    columns, prop_column = layout(scene, freedom)
    for index, (actor, column) in enumerate(zip(scene.actors, columns, strict=True)):
        _draw_actor(canvas, actor, column * CELL, _faces_left(scene, index, freedom), looks)
    if scene.item is not None and prop_column is not None:
        stamp(canvas, prop(scene.item), prop_column * CELL, HORIZON)
    return canvas


def _faces_left(scene: Scene, index: int, freedom: Freedom) -> bool:
    if scene.actors[index].holds:
        return False
    if len(scene.actors) == 1:
        return freedom.mirror
    return index == len(scene.actors) - 1


def _draw_actor(
    canvas: Indices, actor: Actor, x: int, left: bool, looks: Mapping[str, Look]
) -> None:
    look = looks[actor.name]
    top = _FIGURE_TOP - (CELL if actor.action == "jump" else 0)
    if actor.action == "jump":
        canvas[52:55, x + 4 : x + 12] = COLOUR["ink"]
        canvas[53:54, x + 2 : x + 14] = COLOUR["ink"]
    stamp(canvas, figure(look, actor.action, actor.mood, left), x, top)
    mark = "sleep" if actor.action == "sleep" else actor.mood
    if mark != "calm":
        row = _FIGURE_TOP if actor.action == "sleep" else top - CELL
        stamp(canvas, sign(mark), x if left else x + CELL, row)
    if actor.holds:
        stamp(canvas, prop(actor.holds), x + 2 * CELL, top)
        stamp(canvas, paw(look), x + 2 * CELL - 1, top + 10)
