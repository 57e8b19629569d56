"""Operations without a model: what they leave alone is the very same, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seedstory_core.errors import SeedStoryError
from seedstory_core.operations import (
    branch,
    check_panels,
    edits_of,
    insert,
    join,
    panel_order,
    panel_selection,
    panels_there,
    remove,
    reorder,
    rewind,
)
from seedstory_core.story import append, attach_image
from seedstory_core.story_store import keep, load_story
from seedstory_core.types import Character, Panel, Story, WorldRef

SPACE = "toy.code"


def panel(number: int) -> Panel:
    features = {SPACE: torch.full((2, 3), float(number))}
    origin = "told" if number else "opening"
    image = torch.full((4, 4, 3), number % 250, dtype=torch.uint8)
    text = f"Panel {number} {number % 7} says so."
    return Panel(text, f"[INST]{text}", origin, (number,), features, image, seed=number)


def line(count: int, start: int = 0, run: str = "tale") -> Story:
    story = Story((), "toy", WorldRef("w", "d" * 64), run)
    for number in (0, *range(start + 1, start + count)):
        story = append(story, panel(number))
    return story


def same(one: Panel, other: Panel) -> bool:
    """All but the uid is the same, tensors by identity."""
    return (
        (one.caption, one.text, one.origin, one.token_ids, one.seed)
        == (other.caption, other.text, other.origin, other.token_ids, other.seed)
        and dict(one.provenance) == dict(other.provenance)
        and one.image is other.image
        and all(one.features[space] is row for space, row in other.features.items())
    )


def captions(story: Story) -> list[str]:
    return [panel.caption for panel in story.panels]


def assert_chained(story: Story) -> None:
    """Every uid is that of its place."""
    again = replace(story, panels=(), closing=None)
    for one in story.panels:
        again = append(again, one)
    assert [p.uid for p in again.panels] == [p.uid for p in story.panels]


def test_rewinding_keeps_the_objects_and_opens_an_ended_story() -> None:
    story = replace(line(5), closing="The end.")
    back = rewind(story, 2)
    assert all(a is b for a, b in zip(back.panels, story.panels[:3], strict=True))
    assert back.closing is None and len(rewind(story, -1)) == 5 and story.ended
    with pytest.raises(SeedStoryError, match="panels 0 to 4, but panel 5"):
        rewind(story, 5)


def test_a_branch_has_a_name_and_a_folder_of_its_own(tmp_path: Path) -> None:
    story = line(4)
    side = branch(story, 1)
    assert side.run == "tale-branch-1" and side.panels[1] is story.panels[1]
    longer = append(branch(story, 1, "other way"), panel(9))
    assert keep(tmp_path, story) != keep(tmp_path, longer)
    assert captions(load_story(tmp_path / "tale")) == captions(story)
    with pytest.raises(SeedStoryError, match="needs a name"):
        branch(story, 1, " ")


@pytest.mark.parametrize("gone", [[1], [3], [-1], [1, 2, 4], []])
def test_removing_leaves_the_others_alone(gone: list[int]) -> None:
    story = line(6)
    left = remove(story, gone)
    kept = [i for i in range(6) if i not in {g % 6 for g in gone}]
    assert all(same(a, story.panels[i]) for a, i in zip(left.panels, kept, strict=True))
    first = min((g % 6 for g in gone), default=6)
    assert all(left.panels[i] is story.panels[i] for i in range(first))
    assert_chained(left)


def test_reordering_moves_panels_whole() -> None:
    story = line(5)
    moved = reorder(story, [0, 1, 4, 3, 2])
    assert moved.panels[1] is story.panels[1] and same(moved.panels[3], story.panels[3])
    assert moved.panels[2].features[SPACE] is story.panels[4].features[SPACE]
    assert moved.panels[2].image is story.panels[4].image
    assert edits_of(moved.panels[2]) == [{"op": "reorder", "place": 4}]
    assert_chained(moved)
    back = reorder(moved, [0, 1, 4, 3, 2])
    assert [p.uid for p in back.panels] == [p.uid for p in story.panels]


def test_inserting_moves_the_later_ones_on() -> None:
    story, new = line(4), panel(9)
    longer = insert(story, 2, new)
    assert captions(longer)[2] == new.caption and longer.panels[1] is story.panels[1]
    assert all(same(a, b) for a, b in zip(longer.panels[3:], story.panels[2:], strict=True))
    assert_chained(longer)
    uids = [p.uid for p in remove(longer, [2]).panels]
    assert uids == [p.uid for p in story.panels], "removing it again gives the same story"
    assert len(insert(story, 4, new)) == 5


def test_joining_takes_the_common_beginning_once() -> None:
    story = line(3)
    one, two = append(story, panel(11)), append(append(story, panel(21)), panel(22))
    both = join([one, two])
    assert captions(both) == [*captions(one), *captions(two)[3:]]
    assert all(a is b for a, b in zip(both.panels, one.panels, strict=False))
    assert both.panels[4].image is two.panels[3].image
    assert edits_of(both.panels[4]) == [{"op": "join", "run": "tale", "place": 3}]
    assert both.run == "tale-joined" and join([one], "book").run == "book"
    assert_chained(both)


def test_joining_keeps_what_a_branch_has_made_anew() -> None:
    """Other features under the same words are another panel; rounding is not."""
    story = line(3)
    told = story.panels[2]

    def with_features(factor: float) -> Story:
        changed = replace(told, features={SPACE: told.features[SPACE] * factor})
        return replace(story, panels=(*story.panels[:2], changed))

    assert len(join([story, with_features(1 + 1e-6)])) == 3
    assert len(join([story, with_features(1.5)])) == 4


def test_joined_stories_keep_closing_words_and_characters() -> None:
    one = replace(line(2), characters=(Character("Ada"),))
    two = replace(line(3), characters=(Character("Ada"), Character("Bo")), closing="The end.")
    both = join([one, two])
    assert [c.name for c in both.characters] == ["Ada", "Bo"] and both.closing == "The end."
    assert_chained(both)


def test_a_story_of_another_world_is_not_joined() -> None:
    other = replace(line(3), world=WorldRef("elsewhere", "e" * 64), run="foreign")
    with pytest.raises(SeedStoryError, match="'foreign' is of the world 'elsewhere'"):
        join([line(3), other])
    with pytest.raises(SeedStoryError, match="no story to join"):
        join([])


@pytest.mark.parametrize(
    ("features", "message"),
    [({}, "not there"), ({SPACE: torch.ones(1, 3)}, "of the shape"),
     ({SPACE: torch.full((2, 3), torch.nan)}, "NaN")],
)  # fmt: skip
def test_panels_without_fitting_features_stay_out(
    features: dict[str, torch.Tensor], message: str
) -> None:
    bad = replace(panel(9), features=features)
    with pytest.raises(SeedStoryError, match=message):
        insert(line(3), 1, bad)
    other = replace(line(3), panels=(*line(3).panels[:2], replace(bad, uid="x")))
    with pytest.raises(SeedStoryError, match=message):
        join([line(3), other])


def test_the_opening_stays_first() -> None:
    story = line(3)
    with pytest.raises(SeedStoryError, match="cannot be removed"):
        remove(story, [1, -3])
    with pytest.raises(SeedStoryError, match="must begin with 0"):
        reorder(story, [1, 0, 2])
    with pytest.raises(SeedStoryError, match="opening stays first"):
        insert(story, 0, panel(9))
    with pytest.raises(SeedStoryError, match="inserted at 1 to 3"):
        insert(story, 4, panel(9))


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [0, 1, 2, 2]])
def test_an_order_names_each_panel_once(order: Sequence[int]) -> None:
    with pytest.raises(SeedStoryError, match="names each of the panels 0 to 2 once"):
        reorder(line(3), order)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("2, 4-5", (2, 4, 5)), ("all", (1, 2, 3, 4, 5)), ("-1;0", (5, 0)), ("5-3", (5, 4, 3)),
     (" 1 - 2 , 1", (1, 2))],
)  # fmt: skip
def test_panels_are_named_as_people_write_them(text: str, wanted: tuple[int, ...]) -> None:
    assert panel_selection(line(6), text) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "No panel is named"), ("two", "'two' names no panel"), ("1-", "names no panel"),
     ("99", "panel 99 was asked for"), ("1-999999999", "was asked for"), ("1" * 30_000, "at most")],
)  # fmt: skip
def test_what_names_no_panel_is_said(text: str, message: str) -> None:
    with pytest.raises(SeedStoryError, match=message):
        panel_selection(line(6), text)


@pytest.mark.parametrize(
    ("text", "wanted", "left"),
    [("2, 4-5", (2, 4, 5), ""), ("4-9", (4, 5), "4-9"), ("9-4", (5, 4), "9-4"), ("9", (), "9"),
     ("-9--5, 1", (0, 1), "-9--5"), ("1-999999999", (1, 2, 3, 4, 5), "1-999999999"),
     ("all", (1, 2, 3, 4, 5), ""), ("-2--1", (4, 5), ""), ("7, 8, 6-7", (), "7, 8, 6-7")],
)  # fmt: skip
def test_panels_that_are_not_there_are_left_out(
    text: str, wanted: tuple[int, ...], left: str
) -> None:
    there, note = panels_there(line(6), text)
    assert there == wanted
    assert (f"of {left}, what is not there is left out" in note) if left else note == ""


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=4))
def test_what_is_there_is_what_a_strict_reading_gives(parts: list[tuple[int, int]]) -> None:
    story = line(5)
    text = ", ".join(f"{first}-{last}" for first, last in parts)
    there, note = panels_there(story, text)
    assert set(there) <= set(range(5)) and len(set(there)) == len(there)
    if note:
        with pytest.raises(SeedStoryError, match="was asked for"):
            panel_selection(story, text)
    else:
        assert there == panel_selection(story, text)


@pytest.mark.parametrize("text", ["two", "1-", "1,,x", "1" * 30_000, "--1"])
def test_what_is_no_number_is_said_without_the_story(text: str) -> None:
    with pytest.raises(SeedStoryError, match="names no panel|at most"):
        check_panels(text)


def test_naming_panels_again_and_again_is_bounded() -> None:
    with pytest.raises(SeedStoryError, match="More than"):
        panels_there(line(1000), ", ".join(["1-999"] * 2000))


def test_an_order_may_name_a_panel_twice_for_reorder_to_say() -> None:
    story = line(4)
    assert panel_order(story, "0 2-3 1") == (0, 2, 3, 1)
    with pytest.raises(SeedStoryError, match="once"):
        reorder(story, panel_order(story, "0, 1, 1, 2"))


def test_a_thousand_panels_are_no_burden() -> None:
    story = line(1000)
    start = process_time()
    changed = remove(reorder(insert(story, 1, panel(2000)), [0, *range(1000, 0, -1)]), [500])
    both = join([story, changed])
    assert len(both) == 1999 and process_time() - start < 5
    assert attach_image(both, -1, story.panels[1].image).panels[0] is story.panels[0]
    with pytest.raises(SeedStoryError, match="1 to 10000 panels"):
        join([replace(changed, panels=changed.panels[:1] + changed.panels[1:] * 11), story])
