"""A story that may not repeat itself, on the goldens' weights: their turn is seven ids long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from support.tales import TEXT, begun, picture, told, told_ids

from seedstory_core.context import Window
from seedstory_core.engines.seed_story.captions import Captions
from seedstory_core.engines.seed_story.engine import SeedStoryEngine
from seedstory_core.engines.seed_story.prompt import TURN
from seedstory_core.repeats import NOTHING
from seedstory_core.sampling import Greedy, Nucleus, Sampling, describe
from seedstory_core.types import Story

HOT = Nucleus(1.0, 0.95)


def words(engine: SeedStoryEngine, story: Story) -> list[list[int]]:
    """Each panel's caption as ids, as it stands behind a picture without its turn."""
    turn = engine.words.behind_picture(TURN)
    encoded = [engine.words.behind_picture(TURN + panel.caption) for panel in story.panels]
    assert all(ids[: len(turn)] == turn for ids in encoded)
    return [list(ids[len(turn) :]) for ids in encoded]


def runs(ids: list[int], size: int) -> set[tuple[int, ...]]:
    return {tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)}


def test_the_turn_is_several_ids(engine: SeedStoryEngine) -> None:
    assert len(engine.words.behind_picture(TURN)) == 7


def test_told_and_given_captions_are_the_same_ids(engine: SeedStoryEngine) -> None:
    story = told(engine, begun(engine), 2)
    given = begun(engine)
    for panel in story.panels[1:]:
        given = engine.tell(given, panel.caption)
    captions = Captions(engine.words)
    free, same = captions.earlier(story, 3), captions.earlier(given, 3)
    assert free.follow == same.follow and free.captions == same.captions
    assert " ".join(TEXT.split()) in free.captions and len(free.captions) == 3
    for panel, ids in zip(story.panels, words(engine, story), strict=True):
        assert free.complete(engine.words.behind_picture(TURN + panel.caption))
        assert free.complete(ids) and not free.complete(ids[:-1])


def test_zero_looks_at_nothing(engine: SeedStoryEngine) -> None:
    assert Captions(engine.words).earlier(begun(engine), 0) is NOTHING


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("picker", [HOT, Greedy()], ids=["drawn", "greedy"])
def test_no_run_comes_again(engine: SeedStoryEngine, size: int, picker: Greedy | Nucleus) -> None:
    sampling = Sampling(
        picker=picker,
        suppress=-torch.inf,
        no_repeat_story=size,
        max_caption_tokens=40,
        max_new_tokens=120,
    )
    story = told(engine, begun(engine), 4, sampling=sampling)
    before: set[tuple[int, ...]] = set()
    captions = Captions(engine.words)
    for index, panel in enumerate(story.panels):
        ids = list(captions._ids(panel))  # as said: cut into other pieces it would read the same
        turn = engine.words.behind_picture(TURN)
        said = runs(ids[len(turn) :] if tuple(ids[: len(turn)]) == turn else ids, size)
        assert index == 0 or not said & before, panel.caption
        before |= said


def test_a_loop_over_panels_out_of_view_is_broken(engine: SeedStoryEngine) -> None:
    """With one panel in view, and that the opening again, the likeliest words are the first's."""
    view, free = Window(1), Sampling(suppress=-torch.inf, max_caption_tokens=60)
    story = engine.tell(begun(engine), sampling=free, context=view)
    story = engine.commit(engine.tell(story, TEXT), -1, picture(), feed_back=True)
    looped = engine.tell(story, sampling=free, context=view)
    assert looped.panels[3].text == story.panels[1].text
    broken = engine.tell(story, sampling=replace(free, no_repeat_story=99), context=view)
    said = engine.words.behind_picture(story.panels[1].text)
    assert broken.panels[3].token_ids[: len(said)] == said  # it goes on where it would have ended
    assert len(broken.panels[3].caption) > len(story.panels[1].caption)


def test_same_seed_same_story(
    open_fresh: Callable[[], SeedStoryEngine], engine: SeedStoryEngine
) -> None:
    sampling = Sampling(
        picker=HOT, suppress=-torch.inf, no_repeat_story=3, max_caption_tokens=30, max_new_tokens=99
    )
    other = open_fresh()
    ours = told(engine, begun(engine), 3, sampling=sampling)
    assert told_ids(ours) == told_ids(told(other, begun(other), 3, sampling=sampling))
    assert ours.panels[-1].provenance["sampling"] == describe(sampling)
