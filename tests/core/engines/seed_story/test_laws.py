"""The laws: a kept cache, a cancelled step or another story in between changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.tales import assert_same_story, begun, features, told, told_ids

from seedstory_core.context import ORIGINAL, Block, Dense, MultimodalSink, Window
from seedstory_core.engines.seed_story.engine import SeedStoryEngine
from seedstory_core.engines.seed_story.features import SPACE
from seedstory_core.sampling import REFERENCE, Nucleus, Sampling

NUCLEUS = Sampling(picker=Nucleus(1.0, 0.95), suppress=-torch.inf, max_new_tokens=110)


POLICIES = [
    Dense(), Window(1), Window(2), Window(8), Block(2, 2), MultimodalSink(window=1, cap=1),
    MultimodalSink(window=2, positions=ORIGINAL),
]  # fmt: skip


# Law: cache = no cache.
@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize(
    "sampling", [Sampling(), NUCLEUS, REFERENCE], ids=["greedy", "drawn", "eos"]
)
def test_a_kept_cache_changes_nothing(
    open_fresh: Callable[[], SeedStoryEngine], policy: Any, sampling: Sampling
) -> None:
    engine = open_fresh()
    start = begun(engine)
    kept = told(engine, start, 4, sampling=sampling, context=policy)
    story = start
    for _ in range(4):
        story = told(open_fresh(), story, 1, sampling=sampling, context=policy)
    assert_same_story(kept, story)


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("reference", [False, True])
def test_a_kept_cache_changes_no_given_captions(
    open_fresh: Callable[[], SeedStoryEngine], policy: Any, reference: bool
) -> None:
    engine = open_fresh()
    captions = ["George saw a big bird near the lake.", "George ran to the old tree.", "He slept."]
    kept = alone = begun(engine)
    for caption in captions:
        kept = engine.tell(kept, caption, context=policy, reference=reference)
        alone = open_fresh().tell(alone, caption, context=policy, reference=reference)
    assert_same_story(kept, alone)
    assert [p.caption for p in kept.panels[1:]] == captions


def read_rows(engine: SeedStoryEngine, act: Callable[[], Any]) -> list[int]:
    """Rows of each forward of the LLM during ``act``."""
    rows: list[int] = []
    model = engine.parts["llm"].acquire().model
    hook = model.register_forward_pre_hook(lambda _, args: rows.append(args[0].shape[1]))
    try:
        act()
    finally:
        hook.remove()
    return rows


def test_the_cache_saves_what_it_can(engine: SeedStoryEngine) -> None:
    """SPEC 8: after the first panel only the told picture's rows are read anew."""
    story = told(engine, begun(engine), 1, context=Dense())
    rows = read_rows(engine, lambda: told(engine, story, 1, context=Dense()))
    assert rows[0] == 64 + 1  # the picture's slots, now with the told features, and </img>
    assert rows[-1] == 1 + 64  # <img> and its slots in one pass; </img> ends the panel unread
    assert set(rows[1:-1]) == {1}


def test_a_given_caption_takes_one_pass(engine: SeedStoryEngine) -> None:
    story = told(engine, begun(engine), 1)
    assert len(read_rows(engine, lambda: engine.tell(story, "George ran home."))) == 1
    again = read_rows(engine, lambda: engine.tell(story, "George ran home."))
    assert len(again) == 1 and again[0] <= 66  # the picture's rows are needed, so they are read


def test_the_free_and_the_given_way_agree(engine: SeedStoryEngine) -> None:
    """Given what the model would have said, it makes the same picture."""
    free = told(engine, begun(engine), 2, context=Dense())
    given = begun(engine)
    for panel in free.panels[1:]:
        given = engine.tell(given, panel.caption, context=Dense())
    torch.testing.assert_close(features(given), features(free), atol=1e-4, rtol=1e-4)
    assert [p.text for p in given.panels] == [p.text for p in free.panels]


# Law: same seed, same story; whatever was told before, after, or in between.
def test_forks_rewinds_and_other_stories_in_between_change_nothing(
    open_fresh: Callable[[], SeedStoryEngine],
) -> None:
    want = told(open_fresh(), begun(open_fresh()), 4, sampling=NUCLEUS, context=Window(3))
    engine = open_fresh()
    story, other = begun(engine), begun(engine, 5, "Timmy ran to the old tree.")
    for _ in range(4):
        other = told(engine, other, 1, sampling=NUCLEUS)
        engine.tell(story, "A caption that is thrown away.", context=Window(3))
        engine.tell(story, seed=77, sampling=NUCLEUS, context=Window(3))
        story = told(engine, story, 1, sampling=NUCLEUS, context=Window(3))
        engine.park()
    assert_same_story(story, want)
    rewound = replace(story, panels=story.panels[:2])
    assert_same_story(told(engine, rewound, 3, sampling=NUCLEUS, context=Window(3)), want)


def test_pictures_of_equal_ids_are_told_apart(engine: SeedStoryEngine) -> None:
    """Image tokens have the same ids in every story: keys must see the features."""
    first, second = begun(engine, 1), begun(engine, 2)
    tell = engine.tell
    alone = tell(second, "George ran.").panels[-1].features[SPACE]
    tell(first, "George ran.")
    torch.testing.assert_close(
        tell(second, "George ran.").panels[-1].features[SPACE], alone, atol=1e-4, rtol=1e-4
    )
    assert not torch.allclose(
        tell(first, "George ran.").panels[-1].features[SPACE], alone, atol=1e-2
    )


def test_seeds_matter_to_drawing_only(engine: SeedStoryEngine) -> None:
    hot = replace(NUCLEUS, picker=Nucleus(3.0, 1.0), max_caption_tokens=8)
    story = begun(engine)
    drawn = {told_ids(engine.tell(story, sampling=hot, seed=seed)) for seed in range(4)}
    assert len(drawn) > 1
    greedy = {told_ids(engine.tell(story, seed=seed)) for seed in range(3)}
    assert len(greedy) == 1


@pytest.mark.parametrize("stop_after", [0, 1, 3, 9])
def test_cancelling_at_any_token_leaves_the_engine_sound(
    open_fresh: Callable[[], SeedStoryEngine], stop_after: int
) -> None:
    want = told(open_fresh(), begun(open_fresh()), 3)
    engine = open_fresh()
    story = told(engine, begun(engine), 1)
    calls = 0

    def progress(done: int, total: int, note: str = "") -> None:
        nonlocal calls
        calls += 1
        if calls > stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.tell(story, seed=1, progress=progress)
    assert calls == stop_after + 1
    assert_same_story(told(engine, story, 2), want)


def test_an_error_in_the_middle_of_a_forward_leaves_the_engine_sound(
    open_fresh: Callable[[], SeedStoryEngine],
) -> None:
    want = told(open_fresh(), begun(open_fresh()), 3)
    engine = open_fresh()
    story = told(engine, begun(engine), 1)
    calls = 0

    def fail(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise MemoryError

    hook = engine.parts["llm"].acquire().model.layers[1].register_forward_pre_hook(fail)
    with pytest.raises(MemoryError):
        engine.tell(story, seed=1)
    hook.remove()
    assert_same_story(told(engine, story, 2), want)
