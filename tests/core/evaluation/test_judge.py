"""Judging: truth passes in every row, and each thing that is wrong fails in its own row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from seedstory_core.evaluation.judge import (
    CAPTION_ROWS,
    KEPT,
    KEPT_EACH,
    PANEL_RIGHT,
    ROWS,
    TARGETS,
    PanelVerdict,
    by_name,
    judge_panels,
    read_captions,
    shares,
    units,
)
from seedstory_core.evaluation.sight import (
    ALL_RIGHT,
    PICTURE_ROWS,
    Sight,
    judge_appearances,
    judge_picture,
    sight_of,
)
from seedstory_core.picture_world.scene import Actor, Scene
from seedstory_core.picture_world.splits import scene_is_held_out
from seedstory_core.picture_world.stories import tell

SCENE = Scene(
    "beach", "day", "clear", (Actor("Mila", "walk", "happy", "ball"), Actor("Bruno", "sit", "sad"))
)
SIGHT = sight_of(SCENE)


def with_figure(sight: Sight, name: str, **changes: object) -> Sight:
    figures = {**sight.figures, name: replace(sight.figures[name], **changes)}  # type: ignore[arg-type]
    return replace(sight, figures=figures)


def without(sight: Sight, name: str) -> Sight:
    figures = {key: value for key, value in sight.figures.items() if key != name}
    return replace(sight, figures=figures, count=sight.count - 1)


def failed(scene: Scene, sight: Sight) -> set[str]:
    return {row for row, right in judge_picture(scene, sight).items() if not right}


def verdicts(number: int, seed: int, panels: int = 26) -> list[PanelVerdict]:
    """A true story seen by perfect probes."""
    script = tell(seed, panels, "test")
    captions = read_captions([item.caption for item in script])
    return judge_panels(number, captions, [sight_of(item.scene) for item in script])


def test_what_is_true_is_right_in_every_row() -> None:
    assert failed(SCENE, SIGHT) == set()
    assert set(judge_picture(SCENE, SIGHT)) == {*PICTURE_ROWS, ALL_RIGHT}


@pytest.mark.parametrize(
    ("sight", "rows"),
    [
        (replace(SIGHT, place="lake"), {"place"}),
        (replace(SIGHT, time="night"), {"time"}),
        (replace(SIGHT, weather="snow"), {"weather"}),
        (replace(SIGHT, prop="kite"), {"prop"}),
        (replace(SIGHT, prop=None), {"prop"}),
        (replace(SIGHT, stranger=True), {"no_stranger"}),
        (replace(SIGHT, count=3), {"no_stranger"}),
        (with_figure(SIGHT, "Mila", action="jump"), {"action"}),
        (with_figure(SIGHT, "Bruno", mood="happy"), {"mood"}),
        (with_figure(SIGHT, "Mila", accessory=False), {"accessory"}),
        (with_figure(SIGHT, "Bruno", colours=False), {"colours"}),
        (with_figure(SIGHT, "Mila", holds=False), {"holder"}),
        (with_figure(SIGHT, "Bruno", holds=True), {"holder"}),
        (
            without(SIGHT, "Bruno"),
            {"present", "accessory", "colours", "holder", "action", "mood"},
        ),
        (
            replace(SIGHT, figures={**SIGHT.figures, "Pip": SIGHT.figures["Bruno"]}),
            {"no_stranger"},
        ),
    ],
)
def test_each_fault_fails_in_its_own_row(sight: Sight, rows: set[str]) -> None:
    assert failed(SCENE, sight) == {*rows, ALL_RIGHT}


def test_appearances_need_the_right_looks() -> None:
    assert judge_appearances(SCENE, SIGHT) == {"Mila": True, "Bruno": True}
    assert judge_appearances(SCENE, without(SIGHT, "Mila"))["Mila"] is False
    assert judge_appearances(SCENE, with_figure(SIGHT, "Mila", colours=False))["Mila"] is False
    assert judge_appearances(SCENE, with_figure(SIGHT, "Mila", action="sit"))["Mila"] is True


def test_true_stories_pass_in_every_row() -> None:
    panels = [panel for number in range(4) for panel in verdicts(number, seed=number)]
    found = shares(panels)
    assert set(found) == set(ROWS) and len(panels) == 100
    assert {row: share.value for row, share in found.items()} == dict.fromkeys(ROWS, 1.0)
    assert set(TARGETS) <= set(ROWS)


def test_captions_are_read_in_order() -> None:
    captions = [
        "One rainy day, Mila is in the forest.",
        "She jumps up and down.",
        "Colourless green ideas.",
        "Mila puts the ball down and waves.",
        "She jumps up and down.",
    ]
    read = read_captions(captions)
    assert [item.grammatical for item in read] == [True, True, False, True, True]
    assert [item.consistent for item in read] == [True, True, False, False, True]
    assert [item.distinct for item in read] == [True, True, True, True, False]
    assert read[1].scene is not None and read[1].scene.place == "forest"
    assert read[2].scene is None


def test_a_caption_that_cannot_be_read_fails_in_every_row_of_the_picture() -> None:
    read = read_captions(["One rainy day, Mila is in the forest.", "Xyz xyz."])
    scene = read[0].scene
    assert scene is not None
    (panel,) = judge_panels(7, read, [sight_of(scene)] * 2)
    assert (panel.story, panel.panel, panel.looks) == (7, 1, {})
    assert not any(panel.rows[row] for row in (*PICTURE_ROWS, ALL_RIGHT, PANEL_RIGHT))
    assert [panel.rows[row] for row in CAPTION_ROWS] == [False, False, True]


def test_the_opening_is_not_judged_and_lengths_cut() -> None:
    panels = verdicts(0, seed=3)
    assert [panel.panel for panel in panels] == list(range(1, 26))
    assert len(units(panels, "place", 10)[0]) == 10


def test_one_wrong_look_breaks_a_character_for_the_whole_story() -> None:
    def panel(number: int, **looks: bool) -> PanelVerdict:
        return PanelVerdict(0, number, {"place": True}, looks)

    panels = [panel(1, Mila=True, Pip=True), panel(2, Mila=False), panel(3, Mila=True, Pip=True)]
    assert sorted(units(panels, KEPT)[0]) == [False, True]
    assert units(panels, KEPT, length=1)[0] == [True, True]
    assert sum(units(panels, KEPT_EACH)[0]) == 4 and len(units(panels, KEPT_EACH)[0]) == 5
    each = by_name(panels)
    assert list(each) == ["Mila", "Pip"] and [each[n].count for n in each] == [3, 2]
    assert (each["Mila"].value, each["Pip"].value) == (pytest.approx(2 / 3), 1.0)


def test_held_out_panels_are_marked() -> None:
    """A panel of a combination that training never saw, made by hand."""
    known = [
        Scene("beach", "day", "clear", (Actor("Mila", action, holds=prop),))
        for action in ("stand", "walk", "wave", "jump", "sit")
        for prop in ("ball", "kite", "key")
    ]
    scene = next(item for item in known if scene_is_held_out(item))
    read = read_captions(["One sunny day, Mila is at the beach."] * 2)
    said = [replace(item, scene=scene) for item in read]
    (panel,) = judge_panels(0, said, [sight_of(scene)] * 2, scene_is_held_out)
    assert panel.held_out and panel.rows[ALL_RIGHT]
    (panel,) = judge_panels(0, said, [sight_of(scene)] * 2)
    assert not panel.held_out
