"""The renderer of Picture World: what is drawn, where, and that everything can be told apart."""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest

from seedstory_core.errors import SeedStoryError
from seedstory_core.picture_world.looks import LOOKS
from seedstory_core.picture_world.palette import CLEAR, COLOUR, Indices, stamp
from seedstory_core.picture_world.render import (
    PALETTE,
    any_freedom,
    contact_sheet,
    draw_freedom,
    layout,
    render,
    rgb,
)
from seedstory_core.picture_world.scene import (
    ACTIONS,
    CAST,
    GUEST,
    MOODS,
    PLACES,
    PROPS,
    SCENERIES,
    TIMES,
    WEATHERS,
    Actor,
    Freedom,
    Scene,
)
from seedstory_core.picture_world.scenery import backdrop
from seedstory_core.picture_world.sprites import figure

EVERYBODY = (*CAST, GUEST)
LEFT = Freedom(shift=0.0)
#: The strong colour of everybody's accessory.
ACCESSORY_COLOURS = {
    "Mila": "red",
    "Bruno": "yellow",
    "Pip": "green",
    "Luna": "violet",
    "Fenn": "blue",
    "Tilda": "pink",
    "Olive": "cyan",
}


def _scene(*actors: Actor, place: str = "meadow", item: str | None = None) -> Scene:
    return Scene(place, "day", "clear", actors, item)


def _random_scene(rng: random.Random) -> Scene:
    names = rng.sample(EVERYBODY, rng.choice((1, 2, 3)))
    actors = [Actor(name, rng.choice(ACTIONS)) for name in names]
    actors = [
        actor if actor.action == "sleep" else replace(actor, mood=rng.choice(MOODS))
        for actor in actors
    ]
    prop = rng.choice((None, *PROPS))
    awake = [index for index, actor in enumerate(actors) if actor.action != "sleep"]
    if prop and awake and rng.random() < 0.5:
        holder = rng.choice(awake)
        actors[holder] = replace(actors[holder], holds=prop)
        prop = None
    return Scene(rng.choice(PLACES), rng.choice(TIMES), rng.choice(WEATHERS), tuple(actors), prop)


def _changed(scene: Scene, freedom: Freedom = LEFT) -> np.ndarray:
    """Which pixels somebody or something covers, [64, 64] bool."""
    empty = backdrop(scene.place, scene.time, scene.weather, freedom.scenery)
    return render(scene, freedom) != empty


def _difference(first: Scene, second: Scene) -> int:
    return int((render(first, LEFT) != render(second, LEFT)).sum())


def test_a_picture_is_64_pixels_of_few_colours() -> None:
    picture = render(_scene(Actor("Mila")))
    assert picture.shape == (64, 64) and picture.dtype == np.uint8
    assert 64 < len(PALETTE) <= 112 and PALETTE.dtype == np.uint8
    assert len(np.unique(PALETTE, axis=0)) == len(PALETTE), "two names for one colour"
    assert np.array_equal(rgb(picture), PALETTE[picture])


def test_every_colour_of_the_palette_is_used() -> None:
    seen: set[int] = set()
    for place, hour, weather, scenery in product(PLACES, TIMES, WEATHERS, range(SCENERIES)):
        seen |= set(np.unique(backdrop(place, hour, weather, scenery)).tolist())
    for name, action, mood in product(EVERYBODY, ACTIONS, MOODS):
        seen |= set(np.unique(figure(LOOKS[name], action, mood, False)).tolist())
    for prop, mood in product(PROPS, MOODS):
        seen |= set(np.unique(render(_scene(Actor("Mila", mood=mood), item=prop))).tolist())
    unused = [name for name, index in COLOUR.items() if index not in seen]
    assert not unused


def test_the_pixels_are_those_the_world_was_trained_on() -> None:
    """Whoever changes this sum changes what the shipped weights were trained to draw."""
    rng = random.Random(1)
    digest = hashlib.sha256(PALETTE.tobytes())
    for _ in range(400):
        digest.update(render(_random_scene(rng), any_freedom(rng)).tobytes())
    assert digest.hexdigest()[:16] == "9415653792bac978"


def test_one_scene_and_freedom_is_one_picture() -> None:
    rng = random.Random(2)
    for _ in range(50):
        scene, freedom = _random_scene(rng), any_freedom(rng)
        first = render(scene, freedom)
        first_bytes = first.tobytes()
        first[:] = 0
        assert render(scene, freedom).tobytes() == first_bytes


@pytest.mark.parametrize("place", PLACES)
def test_everybody_stays_in_the_own_columns(place: str) -> None:
    for name, action, column in product(EVERYBODY, ACTIONS, range(7)):
        freedom = Freedom(shift=column / 6)
        scene = _scene(Actor(name, action), place=place)
        (start,), _ = layout(scene, freedom)
        assert start == column
        changed = _changed(scene, freedom)
        rows, columns = np.nonzero(changed)
        assert columns.min() >= start * 8 and columns.max() < start * 8 + 16
        assert rows.min() >= (24 if action == "jump" else 32) and rows.max() < 56
        assert changed.sum() > 100


def test_a_sleeper_is_a_ball_of_16_pixels_under_a_sign() -> None:
    for name in EVERYBODY:
        body = figure(LOOKS[name], "sleep", "calm", False) != CLEAR
        assert not body[:8].any() and body[8:].sum() > 150
        changed = _changed(_scene(Actor(name, "sleep")))
        assert changed[32:40, 8:16].any() and not changed[32:40, :8].any()


def test_moving_is_by_whole_cells_and_moves_every_pixel() -> None:
    for name, action, prop in product(EVERYBODY, ACTIONS, (None, "kite")):
        scene = _scene(Actor(name, action), item=prop)
        body = figure(LOOKS[name], action, "calm", False)
        for step in range(1, 5):
            shift = (step + 0.5) / (7 if prop is None else 5)
            freedom = Freedom(shift=shift)
            (start,), prop_column = layout(scene, freedom)
            assert start == step and prop_column == (None if prop is None else step + 2)
            picture = render(scene, freedom)
            expected = picture.copy()
            stamp(expected, body, step * 8, 24 if action == "jump" else 32)
            if action != "sleep":
                assert np.array_equal(picture, expected)


def test_gaps_come_first_and_the_rest_is_shift() -> None:
    pair = _scene(Actor("Mila"), Actor("Bruno"))
    assert layout(pair, Freedom(0.0, 0.0))[0] == (0, 2)
    assert layout(pair, Freedom(1.0, 0.0))[0] == (4, 6)
    assert layout(pair, Freedom(0.0, 0.5))[0] == (0, 4)
    assert layout(pair, Freedom(1.0, 1.0))[0] == (0, 6)
    three = _scene(Actor("Mila"), Actor("Bruno"), Actor("Pip"))
    assert layout(three, Freedom(0.0, 0.5))[0] == (0, 3, 5)
    assert layout(three, Freedom(0.0, 1.0))[0] == (0, 3, 6)
    full = _scene(Actor("Mila"), Actor("Bruno"), Actor("Pip"), item="key")
    for freedom in (Freedom(0.0, 0.0), Freedom(1.0, 1.0), Freedom(0.3, 0.5)):
        assert layout(full, freedom) == ((0, 2, 4), 6)


def test_everything_fits_whatever_the_freedom() -> None:
    rng = random.Random(3)
    for _ in range(500):
        scene, freedom = _random_scene(rng), any_freedom(rng)
        starts, prop = layout(scene, freedom)
        taken = [c for start in starts for c in (start, start + 1)]
        taken += [] if prop is None else [prop, prop + 1]
        assert len(set(taken)) == len(taken) and min(taken) >= 0 and max(taken) < 8
        assert list(starts) == sorted(starts)
        if scene.item:
            assert prop is not None and prop > starts[-1]


def test_freedom_is_drawn_by_seed_and_uses_all_of_it() -> None:
    drawn = [any_freedom(random.Random(seed)) for seed in range(300)]
    assert drawn == [any_freedom(random.Random(seed)) for seed in range(300)]
    assert {freedom.gap for freedom in drawn} == {0.0, 0.5, 1.0}
    assert {freedom.mirror for freedom in drawn} == {True, False}
    assert {freedom.scenery for freedom in drawn} == set(range(SCENERIES))
    lone = _scene(Actor("Mila"))
    assert {layout(lone, freedom)[0][0] for freedom in drawn} == set(range(7))


def test_the_worlds_own_pictures_leave_less_free() -> None:
    drawn = [draw_freedom(random.Random(seed)) for seed in range(300)]
    assert drawn == [draw_freedom(random.Random(seed)) for seed in range(300)]
    assert {freedom.gap for freedom in drawn} == {0.0}
    scene = _scene(Actor("Mila"))
    assert {layout(scene, freedom)[0] for freedom in drawn} == {(0,), (3,), (6,)}
    assert {(freedom.mirror, freedom.scenery) for freedom in drawn} == set(
        product((False, True), range(SCENERIES))
    )


def test_who_looks_where() -> None:
    right = figure(LOOKS["Mila"], "stand", "calm", False)
    left = right[:, ::-1]

    def shown(scene: Scene, column: int, freedom: Freedom) -> tuple[Indices, Indices]:
        box = render(scene, freedom)[32:56, column * 8 : column * 8 + 16]
        return np.where(right == CLEAR, CLEAR, box), np.where(left == CLEAR, CLEAR, box)

    def looks_left(scene: Scene, column: int, freedom: Freedom = LEFT) -> bool:
        as_right, as_left = shown(scene, column, freedom)
        assert np.array_equal(as_right, right) != np.array_equal(as_left, left)
        return bool(np.array_equal(as_left, left))

    mirrored = replace(LEFT, mirror=True)
    assert not looks_left(_scene(Actor("Mila")), 0)
    assert looks_left(_scene(Actor("Mila")), 0, mirrored)
    assert not looks_left(_scene(Actor("Mila"), Actor("Pip")), 0, mirrored)
    assert looks_left(_scene(Actor("Pip"), Actor("Mila")), 2)
    assert not looks_left(_scene(Actor("Pip"), Actor("Mila"), Actor("Luna")), 2)


def test_a_mirrored_holder_still_looks_at_what_it_holds() -> None:
    scene = _scene(Actor("Mila", holds="ball"))
    assert np.array_equal(render(scene, LEFT), render(scene, replace(LEFT, mirror=True)))


@pytest.mark.parametrize("name", EVERYBODY)
def test_actions_moods_and_props_are_told_apart(name: str) -> None:
    actions = [_scene(Actor(name, action)) for action in ACTIONS]
    assert min(_difference(*pair) for pair in combinations(actions, 2)) >= 50
    moods = [_scene(Actor(name, mood=mood)) for mood in MOODS]
    assert min(_difference(*pair) for pair in combinations(moods, 2)) >= 24
    lying = [_scene(Actor(name), item=prop) for prop in (None, *PROPS)]
    held = [_scene(Actor(name, holds=prop)) for prop in PROPS]
    assert min(_difference(*pair) for pair in combinations(lying + held, 2)) >= 75


def test_everybody_is_told_apart_in_every_action() -> None:
    for action in ACTIONS:
        pairs = combinations([_scene(Actor(name, action)) for name in EVERYBODY], 2)
        assert min(_difference(*pair) for pair in pairs) >= 100


def test_places_times_weathers_and_variants_are_told_apart() -> None:
    keys = list(product(PLACES, TIMES, WEATHERS, range(SCENERIES)))
    pictures = np.stack([backdrop(*key) for key in keys])
    for index in range(len(keys)):
        differences = (pictures[index + 1 :] != pictures[index]).sum((1, 2))
        assert not differences.size or differences.min() >= 100


@pytest.mark.parametrize("name", EVERYBODY)
def test_looks_can_be_changed(name: str) -> None:
    look = LOOKS[name]
    other = LOOKS[EVERYBODY[EVERYBODY.index(name) - 1]]
    strong = COLOUR[ACCESSORY_COLOURS[name]]
    for action in ACTIONS:
        scene = _scene(Actor(name, action))
        empty = _scene_colours(render(scene, LEFT, {name: replace(look, accessory=None)}))
        worn = _scene_colours(render(scene, LEFT))
        assert worn.get(strong, 0) - empty.get(strong, 0) >= 10
        wrong = _scene_colours(render(scene, LEFT, {name: replace(look, accessory="hat")}))
        assert name == "Bruno" or wrong.get(COLOUR["yellow"], 0) > worn.get(COLOUR["yellow"], 0)
        for change in ({"fur": other.fur}, {"species": other.species}):
            changed = render(scene, LEFT, {name: replace(look, **change)})
            assert (changed != render(scene, LEFT)).sum() >= 20


def _scene_colours(picture: Indices) -> dict[int, int]:
    values, counts = np.unique(picture, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(SeedStoryError, match="dragon"):
        render(_scene(Actor("Mila", holds="dragon")))


def test_a_contact_sheet_shows_pictures_enlarged() -> None:
    rng = random.Random(4)
    pictures = [render(_random_scene(rng), any_freedom(rng)) for _ in range(3)]
    sheet = contact_sheet(pictures, 2, zoom=2)
    assert sheet.shape == (2 * 66 * 2, 2 * 66 * 2, 3)
    assert np.array_equal(sheet[2:130:2, 134:262:2], rgb(pictures[1]))


def test_drawing_is_fast() -> None:
    rng = random.Random(5)
    jobs = [(_random_scene(rng), any_freedom(rng)) for _ in range(300)]
    for scene, freedom in jobs:
        render(scene, freedom)
    begin = time.process_time()
    for scene, freedom in jobs:
        render(scene, freedom)
    # The processor's own time: 0.3 ms at first and 0.03 ms once parts are kept, on two busy cores.
    assert (time.process_time() - begin) / len(jobs) < 2e-3
