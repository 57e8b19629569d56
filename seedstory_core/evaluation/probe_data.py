"""True renders for the probes, right and deliberately wrong ones, with their labels.

Scenes are drawn uniformly over all scenes that can be drawn, not over those the stories tell, so
that the probes learn no story's habits. Wrong looks teach them what to refuse: a missing or
borrowed accessory, wrong colours, somebody twice, a creature put together from two.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from ..picture_world.looks import LOOKS, Look
from ..picture_world.render import any_freedom, layout, render
from ..picture_world.scene import (
    ACTIONS,
    MAX_ACTORS,
    MOODS,
    PLACES,
    PROPS,
    TIMES,
    WEATHERS,
    Actor,
    Freedom,
    Scene,
)
from ..picture_world.scenery import backdrop
from .probe_net import COLUMN, FIGURE, IGNORE, PICTURE, SIDE, STRANGER, STRANGER_COLUMN
from .sight import KNOWN

Indices = npt.NDArray[np.uint8]
Labels = dict[str, npt.NDArray[np.int64]]

ACCESSORIES = tuple(look.accessory for look in LOOKS.values())
#: How often an example is what it is.
TRUE, WRONG_ACCESSORY, WRONG_COLOURS, TWICE, MIXED, EMPTY = range(6)
WEIGHTS = (0.3, 0.23, 0.23, 0.05, 0.17, 0.02)
LEAST_MIX = 0.3  # share of the pixels that tell two heads apart which each must give


@dataclass(frozen=True, eq=False)
class Example:
    """One render and what is true of it.

    Attributes:
        picture: palette indices [64, 64].
        labels: by question; [] for the picture, [K] for the known characters.
    """

    picture: Indices
    labels: Labels


@dataclass(frozen=True, eq=False)
class Examples:
    """Many renders: palette indices [N, 64, 64] and labels [N] or [N, K]."""

    pictures: Indices
    labels: Labels

    def __len__(self) -> int:
        return len(self.pictures)


def draw_scene(rng: random.Random) -> Scene:
    """Any scene that can be drawn, the guest included."""
    names = rng.sample(KNOWN, rng.randint(1, MAX_ACTORS))
    actors = [Actor(name, rng.choice(ACTIONS), rng.choice(MOODS)) for name in names]
    actors = [replace(a, mood="calm") if a.action == "sleep" else a for a in actors]
    prop = rng.choice((None, *PROPS, *PROPS))
    hands = [index for index, actor in enumerate(actors) if actor.action != "sleep"]
    if prop and hands and rng.random() < 0.5:
        holder = rng.choice(hands)
        actors[holder] = replace(actors[holder], holds=prop)
        prop = None
    return Scene(
        rng.choice(PLACES), rng.choice(TIMES), rng.choice(WEATHERS), tuple(actors), item=prop
    )


def labels_of(scene: Scene, freedom: Freedom) -> Labels:
    """What is true of a faithful render of ``scene``."""
    whole = {
        "place": PLACES.index(scene.place),
        "time": TIMES.index(scene.time),
        "weather": WEATHERS.index(scene.weather),
        "prop": PROPS.index(scene.prop) if scene.prop else len(PROPS),
        "count": len(scene.actors),
    }
    labels: Labels = {name: np.array(whole[name], np.int64) for name in PICTURE}
    labels |= {name: np.full(len(KNOWN), IGNORE, np.int64) for name in (COLUMN, *FIGURE)}
    labels["present"] = np.zeros(len(KNOWN), np.int64)
    labels[STRANGER], labels[STRANGER_COLUMN] = np.array(0), np.array(IGNORE)
    columns, _ = layout(scene, freedom)
    for actor, column in zip(scene.actors, columns, strict=True):
        who = KNOWN.index(actor.name)
        labels["present"][who], labels[COLUMN][who] = 1, column
        labels["action"][who] = ACTIONS.index(actor.action)
        labels["mood"][who] = MOODS.index(actor.mood)
        labels["holds"][who] = actor.holds is not None
        labels["accessory"][who] = labels["colours"][who] = 1
    return labels


def draw_example(rng: random.Random, kind: int | None = None) -> Example:
    """One example; of a ``kind``, or of any by `WEIGHTS`."""
    kind = rng.choices(range(len(WEIGHTS)), WEIGHTS)[0] if kind is None else kind
    scene, freedom = draw_scene(rng), any_freedom(rng)
    if kind == TRUE:
        return Example(render(scene, freedom), labels_of(scene, freedom))
    return _WRONG[kind](rng, scene, freedom)


def _dressed(changes: Mapping[str, Look]) -> Mapping[str, Look]:
    return MappingProxyType({**LOOKS, **changes})


def _wrong_accessory(rng: random.Random, scene: Scene, freedom: Freedom) -> Example:
    """Each figure may lack its accessory or wear another's; one at least does."""
    labels, changes = labels_of(scene, freedom), {}
    sure = rng.choice(scene.actors).name
    for actor in scene.actors:
        if actor.name == sure or rng.random() < 0.4:
            look = LOOKS[actor.name]
            others = [item for item in ACCESSORIES if item != look.accessory]
            worn = None if rng.random() < 0.5 else rng.choice(others)
            changes[actor.name] = replace(look, accessory=worn)
            labels["accessory"][KNOWN.index(actor.name)] = 0
    return Example(render(scene, freedom, _dressed(changes)), labels)


def _wrong_colours(rng: random.Random, scene: Scene, freedom: Freedom) -> Example:
    """Each figure may wear another's fur; one at least does."""
    labels, changes = labels_of(scene, freedom), {}
    sure = rng.choice(scene.actors).name
    for actor in scene.actors:
        if actor.name == sure or rng.random() < 0.4:
            look = LOOKS[actor.name]
            fur = LOOKS[rng.choice([name for name in KNOWN if name != actor.name])]
            worn = replace(look, fur=fur.fur, shade=fur.shade)
            if rng.random() < 0.5:
                worn = replace(worn, light=fur.light, nose=fur.nose, feet=fur.feet)
            changes[actor.name] = worn
            labels["colours"][KNOWN.index(actor.name)] = 0
    return Example(render(scene, freedom, _dressed(changes)), labels)


def _twice(rng: random.Random, scene: Scene, freedom: Freedom) -> Example:
    """Somebody is there twice; alone, somebody else is there instead."""
    labels = labels_of(scene, freedom)
    who, double = scene.actors[0].name, scene.actors[-1].name
    if who == double:
        return Example(render(scene, freedom), labels)
    labels["present"][KNOWN.index(double)] = 0
    for name in (COLUMN, *FIGURE):
        labels[name][[KNOWN.index(who), KNOWN.index(double)]] = IGNORE
    return Example(render(scene, freedom, _dressed({double: LOOKS[who]})), labels)


def _mixed(rng: random.Random, scene: Scene, freedom: Freedom) -> Example:
    """One figure is put together from two creatures, cut along cells or along a line.

    Bodies have one shape for all, so a body of another is no more than wrong colours or a borrowed
    accessory. It is a stranger whose head is cut; of the others nothing is asked.
    """
    labels = labels_of(scene, freedom)
    one = rng.choice(scene.actors).name
    other = rng.choice([name for name in KNOWN if labels["present"][KNOWN.index(name)] == 0])
    first = render(scene, freedom)
    second = render(scene, freedom, _dressed({one: LOOKS[other]}))
    shaped = replace(LOOKS[one], species=LOOKS[other].species)
    head = first != render(scene, freedom, _dressed({one: shaped}))
    mask = _cut(rng, head)
    share = (head & mask).sum() / max(1, head.sum())
    mixed = LEAST_MIX <= share <= 1 - LEAST_MIX
    labels[STRANGER] = np.array(1 if mixed else IGNORE)
    labels[STRANGER_COLUMN] = labels[COLUMN][KNOWN.index(one)] if mixed else np.array(IGNORE)
    both = [KNOWN.index(one), KNOWN.index(other)]
    for name in ("present", COLUMN, *FIGURE):
        labels[name][both] = IGNORE
    return Example(np.where(mask, second, first), labels)


def _cut(rng: random.Random, differs: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which pixels come from the other creature: below a line, right of one, or odd cells."""
    rows, columns = np.indices((SIDE, SIDE))
    found_rows, found_columns = np.nonzero(differs)
    if not len(found_rows):
        return np.zeros((SIDE, SIDE), bool)
    kind = rng.random()
    if kind < 0.6:
        mask = rows >= np.quantile(found_rows, rng.uniform(0.25, 0.75))
    elif kind < 0.8:
        mask = columns >= np.quantile(found_columns, rng.uniform(0.25, 0.75))
    else:
        mask = (rows // 8 + columns // 8) % 2 == 0
    return mask if rng.random() < 0.5 else ~mask


def _empty(rng: random.Random, scene: Scene, freedom: Freedom) -> Example:
    """Nobody is there, and nothing."""
    labels = labels_of(replace(scene, actors=(), item=None), freedom)
    return Example(backdrop(scene.place, scene.time, scene.weather, freedom.scenery), labels)


_WRONG: Mapping[int, Callable[[random.Random, Scene, Freedom], Example]] = {
    WRONG_ACCESSORY: _wrong_accessory,
    WRONG_COLOURS: _wrong_colours,
    TWICE: _twice,
    MIXED: _mixed,
    EMPTY: _empty,
}


def draw_examples(
    count: int, seed: int, kind: int | None = None, stop: Callable[[int], None] = lambda done: None
) -> Examples:
    """``count`` examples, deterministic by seed; ``stop`` is told of each and may raise."""
    rng = random.Random(seed)
    drawn = []
    for done in range(count):
        drawn.append(draw_example(rng, kind))
        stop(done)
    labels = {name: np.stack([item.labels[name] for item in drawn]) for name in drawn[0].labels}
    return Examples(np.stack([item.picture for item in drawn]), labels)
