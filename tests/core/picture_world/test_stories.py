"""Told stories: the law that captions determine scenes, the splits' law, variety, determinism."""

from __future__ import annotations

import hashlib
import re
from collections import Counter

import pytest

from seedstory_core.picture_world.reading import CaptionReader
from seedstory_core.picture_world.scene import (
    ACTIONS,
    CAST,
    GUEST,
    MOODS,
    PLACES,
    PROPS,
    TIMES,
    WEATHERS,
    check_scene,
)
from seedstory_core.picture_world.splits import SPLITS, held_out, scene_is_held_out
from seedstory_core.picture_world.stories import MAX_WORDS, PanelScript, tell

PANELS = 30
STORIES = {"train": 300, "val": 100, "test": 100}
WINDOW = 8

Story = tuple[PanelScript, ...]


@pytest.fixture(scope="module")
def told() -> dict[str, list[Story]]:
    return {
        split: [tell(seed, PANELS, split) for seed in range(STORIES[split])] for split in SPLITS
    }


def all_panels(told: dict[str, list[Story]]) -> list[PanelScript]:
    return [panel for stories in told.values() for story in stories for panel in story]


def test_reading_gives_back_exactly_the_scenes(told: dict[str, list[Story]]):
    for stories in told.values():
        for story in stories:
            reader = CaptionReader()
            for panel in story:
                reading = reader.read(panel.caption)
                assert reading.grammatical and not reading.problems, (panel, reading)
                assert reading.scene == panel.scene, panel.caption


def test_every_scene_can_be_drawn_and_its_first_says_all(told: dict[str, list[Story]]):
    for panel in all_panels(told):
        check_scene(panel.scene)
    for story in told["val"]:
        assert CaptionReader().read(story[0].caption).scene == story[0].scene


def test_captions_of_a_story_are_distinct_and_short(told: dict[str, list[Story]]):
    for stories in told.values():
        for story in stories:
            captions = [panel.caption for panel in story]
            assert len(set(captions)) >= 0.95 * len(captions)
            assert max(len(caption.split()) for caption in captions) <= MAX_WORDS


def test_there_are_over_300_words_and_all_are_met_again(told: dict[str, list[Story]]):
    words = Counter(
        word for panel in all_panels(told) for word in re.findall("[a-z]+", panel.caption.lower())
    )
    assert 300 < len(words) < 520
    assert min(words.values()) >= 2, words.most_common()[-5:]


def test_training_never_sees_what_is_held_out(told: dict[str, list[Story]]):
    assert not any(scene_is_held_out(panel.scene) for story in told["train"] for panel in story)
    for split in ("val", "test"):
        held = sum(scene_is_held_out(panel.scene) for story in told[split] for panel in story)
        assert held > 0.1 * PANELS * len(told[split])


def test_a_tenth_of_all_combinations_is_held_out():
    held = [held_out(n, p, t, a) for n in CAST for p in PLACES for t in PROPS for a in ACTIONS]
    assert 0.08 < sum(held) / len(held) < 0.12


def test_every_value_is_met_often(told: dict[str, list[Story]]):
    panels = [panel.scene for panel in all_panels(told)]
    seen: Counter[str] = Counter()
    for scene in panels:
        seen.update({scene.place, scene.time, scene.weather, f"{len(scene.actors)} actors"})
        seen.update({actor.name for actor in scene.actors})
        seen.update({actor.action for actor in scene.actors})
        seen.update({actor.mood for actor in scene.actors})
        seen.update({scene.prop} if scene.prop else ())
    share = {value: count / len(panels) for value, count in seen.items()}
    for value in (*CAST, *PLACES, *TIMES, *WEATHERS, *PROPS, *ACTIONS, *MOODS):
        assert share[value] >= 0.04, (value, share[value])
    assert 0.35 < share["1 actors"] < 0.55 and 0.05 < share["3 actors"] < 0.15
    assert 0.2 < share["rain"] < 0.35 and 0.2 < share["snow"] < 0.35


def test_sleep_comes_at_night(told: dict[str, list[Story]]):
    times = Counter(
        panel.scene.time
        for panel in all_panels(told)
        for actor in panel.scene.actors
        if actor.action == "sleep"
    )
    assert times["night"] > 0.9 * times.total()


def test_a_window_of_eight_panels_tells_where_and_when_and_who_holds_what(
    told: dict[str, list[Story]],
):
    for story in told["test"]:
        reader = CaptionReader()
        states = []
        for panel in story:
            reader.read(panel.caption)
            states.append(reader.state)
        for start in range(1, PANELS - WINDOW):
            late = CaptionReader()
            for panel in story[start : start + WINDOW]:
                late.read(panel.caption)
            true = states[start + WINDOW - 1]
            known = (late.state.place, late.state.time, late.state.weather)
            assert known == (true.place, true.time, true.weather)
            if true.holder:
                assert (late.state.prop, late.state.holder) == (true.prop, true.holder)


def test_stories_go_on_as_long_as_asked():
    story = tell(7, 300, "val")
    reader = CaptionReader()
    readings = [reader.read(panel.caption) for panel in story]
    assert [reading.scene for reading in readings] == [panel.scene for panel in story]
    assert not any(reading.problems for reading in readings)
    assert len({panel.caption for panel in story}) >= 270


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_very_long_story_finds_its_way_out_of_every_corner(split: str):
    story = tell(5, 4000, split)
    reader = CaptionReader()
    for panel in story:
        reading = reader.read(panel.caption)
        assert reading.scene == panel.scene and not reading.problems
    assert len({panel.caption for panel in story}) >= 3600


def test_a_story_is_the_beginning_of_a_longer_one():
    assert tell(3, 25)[:10] == tell(3, 10)


def test_the_guest_comes_only_when_invited(told: dict[str, list[Story]]):
    assert not any(GUEST in panel.caption for panel in all_panels(told))
    story = tell(1, 60, "train", (GUEST, "Pip"))
    assert any(actor.name == GUEST for panel in story for actor in panel.scene.actors)


def test_the_same_seed_tells_the_same_story_everywhere():
    text = "\n".join(panel.caption for split in SPLITS for panel in tell(42, PANELS, split))
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert digest == "4c8262256aba58506fb8447de64001509a64b1c3176a3163fa3664f18ab32aa5"


def test_other_seeds_and_splits_tell_other_stories():
    assert len({tell(seed, 5, split) for seed in range(20) for split in SPLITS}) == 60
