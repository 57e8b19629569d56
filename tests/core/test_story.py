"""Stories are values: appending, painting and asking never change what was there."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from seedstory_core import story as stories
from seedstory_core.errors import SeedStoryError
from seedstory_core.types import Character, Panel, Story, WorldRef

WORLD = WorldRef("w", "d" * 64)
SPACE = "toy.code"


def picture(value: int, size: int = 4) -> torch.Tensor:
    return torch.full((size, size, 3), value, dtype=torch.uint8)


def panel(number: int, **changes: object) -> Panel:
    features = {SPACE: torch.full((2, 3), float(number))}
    base = Panel(f"caption {number}", f"text {number}", "told", (number,), features, seed=number)
    return replace(base, **changes)  # type: ignore[arg-type]


def tell(*panels: Panel, **changes: object) -> Story:
    story = replace(Story((), "toy", WORLD, "run"), **changes)  # type: ignore[arg-type]
    for one in panels:
        story = stories.append(story, one)
    return story


def test_append_returns_a_new_story() -> None:
    first = tell(panel(0))
    second = stories.append(first, panel(1))
    assert len(first) == 1 and len(second) == 2
    assert second.panels[0] is first.panels[0]


def test_uid_is_a_chain() -> None:
    story = tell(panel(0), panel(1), panel(2))
    other = tell(panel(0), panel(7), panel(2))
    own, others = [p.uid for p in story.panels], [p.uid for p in other.panels]
    assert own[0] == others[0] and own[1] != others[1] and own[2] != others[2]
    assert all(len(uid) == 64 for uid in own)


@pytest.mark.parametrize(
    "change",
    [
        {"caption": "x"},
        {"text": "x"},
        {"token_ids": (9,)},
        {"origin": "illustrated"},
    ],
)
def test_uid_covers_the_telling(change: dict[str, object]) -> None:
    assert tell(panel(0)).panels[0].uid != tell(panel(0, **change)).panels[0].uid


@pytest.mark.parametrize(
    "change",
    [
        {"image": picture(3)},
        {"seed": 77},
        {"provenance": {"paint": {"steps": 3}}},
        {"features": {SPACE: torch.zeros(2, 3) + 1e-6}},
    ],
)
def test_uid_leaves_painting_and_rounding_out(change: dict[str, object]) -> None:
    assert tell(panel(0)).panels[0].uid == tell(panel(0, **change)).panels[0].uid


def test_uid_covers_world_engine_characters_and_the_given_picture() -> None:
    given = {"origin": "opening", "image": picture(1)}
    base = tell(panel(0, **given))
    others = [
        tell(panel(0, **given), world=WorldRef("w", "e" * 64)),
        tell(panel(0, **given), engine="seed_story"),
        tell(panel(0, **given), characters=(Character("Ada"),)),
        tell(panel(0, **given), characters=(Character("Ada", images=(picture(2),)),)),
        tell(panel(0, origin="opening", image=picture(2))),
    ]
    uids = {story.panels[0].uid for story in [base, *others]}
    assert len(uids) == 6
    renamed = tell(panel(0, **given), world=WorldRef("other name", "d" * 64), run="elsewhere")
    assert renamed.panels[0].uid == base.panels[0].uid


def test_uid_covers_a_picture_that_was_fed_back() -> None:
    told = tell(panel(0), panel(1))
    fed = [
        tell(panel(0), panel(1, image=picture(value), provenance={"fed_back": True}))
        for value in (1, 2)
    ]
    assert len({story.panels[1].uid for story in (told, *fed)}) == 3


def test_attaching_a_picture_keeps_the_telling() -> None:
    story = tell(panel(0, origin="opening", image=picture(1)), panel(1))
    painted = stories.attach_image(story, -1, picture(5), {"steps": 3})
    assert story.panels[1].image is None
    assert torch.equal(painted.panels[1].image, picture(5))
    assert painted.panels[1].provenance["paint"] == {"steps": 3}
    assert [p.uid for p in painted.panels] == [p.uid for p in story.panels]
    again = stories.attach_image(painted, 1, picture(6))
    assert "paint" not in again.panels[1].provenance
    assert stories.unpainted(story) == (1,) and stories.unpainted(painted) == ()


@pytest.mark.parametrize(
    "image",
    [
        torch.zeros(4, 4, 3),
        torch.zeros(4, 4, 4, dtype=torch.uint8),
        torch.zeros(1, 4, 4, 3, dtype=torch.uint8),
        torch.zeros(0, 4, 3, dtype=torch.uint8),
    ],
)
def test_only_pictures_are_attached(image: torch.Tensor) -> None:
    with pytest.raises(SeedStoryError, match="must be uint8"):
        stories.attach_image(tell(panel(0)), 0, image)


@pytest.mark.parametrize("index", [3, -4, 100])
def test_index_outside_is_named(index: int) -> None:
    story = tell(panel(0), panel(1), panel(2))
    with pytest.raises(SeedStoryError, match=rf"panels 0 to 2, but panel {index} "):
        stories.check_index(story, index)
    assert stories.check_index(story, -1) == 2


@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_features_that_are_no_numbers_are_refused(bad: float) -> None:
    broken = panel(0, features={SPACE: torch.tensor([[0.0, bad]])})
    with pytest.raises(SeedStoryError, match="NaN or infinite"):
        tell(broken)


def test_text_that_no_file_holds_is_refused() -> None:
    with pytest.raises(SeedStoryError, match="not valid Unicode"):
        tell(panel(0, caption="broken \ud800 text"))


def test_nothing_follows_the_end() -> None:
    with pytest.raises(SeedStoryError, match="has ended"):
        stories.append(tell(panel(0), closing="The end."), panel(1))


def test_features_of_all_panels() -> None:
    features = stories.features_of(tell(panel(0), panel(1)), SPACE)
    assert features.tensor.shape == (2, 2, 3) and features.world == WORLD
    with pytest.raises(SeedStoryError, match=r"Panels \[1\] .* no 'toy.code' features"):
        stories.features_of(tell(panel(0), panel(1, features={})), SPACE)
    with pytest.raises(SeedStoryError, match="differ in shape"):
        stories.features_of(tell(panel(0), panel(1, features={SPACE: torch.ones(1, 3)})), SPACE)


def test_a_story_of_another_world_or_engine_is_refused() -> None:
    story = tell(panel(0))
    stories.check_story(story, SimpleNamespace(name="toy", world=WORLD))  # type: ignore[arg-type]
    other = SimpleNamespace(name="toy", world=WorldRef("v", "e" * 64))
    with pytest.raises(SeedStoryError, match="told with the world 'w'"):
        stories.check_story(story, other)  # type: ignore[arg-type]
    alien = SimpleNamespace(name="seed_story", world=WORLD)
    with pytest.raises(SeedStoryError, match="told by the engine 'toy'"):
        stories.check_story(story, alien)  # type: ignore[arg-type]


def test_pixel_digest_is_remembered_for_the_tensor_only() -> None:
    first = picture(1)
    digest = stories.pixel_digest(first)
    assert stories.pixel_digest(first) == digest == stories.pixel_digest(picture(1))
    assert stories.pixel_digest(picture(2)) != digest
    assert stories.pixel_digest(picture(1, size=2)) != digest
    known = len(stories._digests)
    del first
    assert len(stories._digests) < known + 1
