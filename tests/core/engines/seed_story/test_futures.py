"""Stories told in one batch are the stories told alone, whatever the others do meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.tales import assert_same_story, begun

from seedstory_core.context import Block, Dense, MultimodalSink, Window
from seedstory_core.engines.seed_story import futures, shared_reader
from seedstory_core.engines.seed_story.engine import SeedStoryEngine
from seedstory_core.errors import SeedStoryError
from seedstory_core.futures import futures_of, tell_futures
from seedstory_core.sampling import Nucleus, Sampling
from seedstory_core.types import Story

Fresh = Callable[[], SeedStoryEngine]
DRAWN = Sampling(picker=Nucleus(1.5, 0.98), suppress=-torch.inf, max_new_tokens=110)
POLICIES = [Dense(), Window(2), Window(8), Block(3, 2)]


def alone(
    open_fresh: Fresh,
    story: Story,
    captions: Sequence[str | None],
    seed: int,
    panels: int,
    **how: Any,
) -> Story:
    """Told by an engine of its own, panel by panel."""
    engine = open_fresh()
    for panel in range(panels):
        caption = captions[panel] if panel < len(captions) else None
        story = engine.tell(story, caption, seed=seed + panel, **how)
    return story


def lengths(stories: Sequence[Story]) -> list[list[int]]:
    """Tokens of each told panel."""
    return [[len(panel.token_ids) for panel in story.panels[1:]] for story in stories]


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_branches_of_one_story_are_what_each_is_alone(open_fresh: Fresh, policy: Any) -> None:
    engine = open_fresh()
    begin = engine.tell(begun(engine), seed=3, sampling=DRAWN, context=policy)
    seeds, how = [10, 200, 3000, 10], {"sampling": DRAWN, "context": policy}
    told = engine.tell_futures(futures_of(begin, 4), None, DRAWN, policy, seeds, panels=4)
    for story, seed in zip(told, seeds, strict=True):
        assert_same_story(story, alone(open_fresh, begin, (), seed, 4, **how))
        assert [p.seed for p in story.panels[2:]] == [seed + i for i in range(len(story) - 2)]
    assert_same_story(told[0], told[3])
    said = lengths(told)
    assert said[0] != said[1] != said[2], "ragged captions"
    assert [story.run for story in told] == [f"story-future-{i}" for i in range(1, 5)]


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_stories_with_nothing_in_common_are_what_each_is_alone(
    open_fresh: Fresh, policy: Any
) -> None:
    """Prompts of different lengths, different numbers of panels, given captions among free ones."""
    engine = open_fresh()
    how = {"sampling": DRAWN, "context": policy}
    begins = [
        begun(engine),
        begun(engine, 5, "Timmy ran to the old tree."),
        alone(open_fresh, begun(engine, 7), (), 50, 3, **how),
    ]
    captions = [(), (None, "George ran home."), ("He saw a bird near the lake.", None)]
    seeds, panels = [1, 20, 300], [3, 2, 4]
    told = engine.tell_futures(begins, captions, DRAWN, policy, seeds, panels=panels)
    for at, story in enumerate(told):
        want = alone(open_fresh, begins[at], captions[at], seeds[at], panels[at], **how)
        assert_same_story(story, want)
        assert [p.origin for p in story.panels] == [p.origin for p in want.panels]
        assert [p.provenance for p in story.panels] == [p.provenance for p in want.panels]


def test_greedy_and_rules_hold_for_every_story(open_fresh: Fresh) -> None:
    strict = Sampling(repetition_penalty=1.3, no_repeat_ngram=3, no_repeat_story=3)
    engine = open_fresh()
    begins = [begun(engine), begun(engine, 2, "Anna saw a red boat.")]
    told = engine.tell_futures(begins, None, strict, Dense(), panels=3)
    for begin, story in zip(begins, told, strict=True):
        assert_same_story(
            story, alone(open_fresh, begin, (), 0, 3, sampling=strict, context=Dense())
        )


def test_writing_on_behind_a_given_caption(open_fresh: Fresh) -> None:
    """The rows that asked for a picture too early are taken back from one story only."""
    sampling = replace(DRAWN, write_on=True)
    engine, captions = open_fresh(), ["George", "George ran to the old tree. He", "He slept."]
    begins = futures_of(begun(engine), 3)
    told = engine.tell_futures(
        begins, [[c] for c in captions], sampling, Dense(), [4, 5, 6], panels=2
    )
    for at, story in enumerate(told):
        how = {"sampling": sampling, "context": Dense()}
        assert_same_story(
            story, alone(open_fresh, begins[at], captions[at : at + 1], 4 + at, 2, **how)
        )
    forced = [story.panels[1].provenance.get("would_write_on") for story in told]
    assert True in forced, "at least one wrote on"


def test_a_story_that_ends_lets_the_others_go_on(open_fresh: Fresh) -> None:
    engine = open_fresh()
    short = replace(DRAWN, max_new_tokens=24)  # a picture takes 66, so every story ends
    begins = [begun(engine), begun(engine, 2)]
    ended = engine.tell_futures(begins, None, short, Dense(), [1, 2], panels=3)
    assert all(story.ended and len(story) == 1 for story in ended)
    branches, seeds = futures_of(begins[0], 6), list(range(6))
    free = engine.tell_futures(branches, None, DRAWN, Dense(), seeds, panels=1)
    middle = sorted(length for (length,) in lengths(free))[3]
    some = replace(DRAWN, max_new_tokens=middle)  # enough for some of the captions
    told = engine.tell_futures(branches, None, some, Dense(), seeds, panels=2)
    for story, seed in zip(told, seeds, strict=True):
        want = alone(open_fresh, begins[0], (), seed, 2, sampling=some, context=Dense())
        assert_same_story(story, want)
    assert {len(story) for story in told} > {1}, "some ended at once, some did not"
    again = engine.tell_futures(ended, None, DRAWN, Dense(), panels=2)
    assert all(new is old for new, old in zip(again, ended, strict=True))


def test_a_policy_that_cannot_be_batched_is_told_one_by_one(open_fresh: Fresh) -> None:
    sink = MultimodalSink(window=1, cap=2)
    engine = open_fresh()
    begin = begun(engine)
    told = engine.tell_futures(futures_of(begin, 2), None, DRAWN, sink, [1, 9], panels=3)
    for story, seed in zip(told, [1, 9], strict=True):
        assert_same_story(
            story, alone(open_fresh, begin, (), seed, 3, sampling=DRAWN, context=sink)
        )


def test_many_stories_go_in_several_batches(
    open_fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(futures, "AT_ONCE", 2)
    engine, seen = open_fresh(), []
    begin = begun(engine)
    report = lambda done, total, note="": seen.append((done, total))  # noqa: E731
    told = engine.tell_futures(futures_of(begin, 5), None, DRAWN, Dense(), [*range(5)], report)
    for seed, story in enumerate(told):
        assert_same_story(
            story, alone(open_fresh, begin, (), seed, 1, sampling=DRAWN, context=Dense())
        )
    total = 5 * DRAWN.max_new_tokens
    assert seen == sorted(seen) and {t for _, t in seen} == {total} and seen[-1][0] <= total


def rows_read(engine: SeedStoryEngine, act: Callable[[], Any]) -> list[int]:
    """Rows of each forward of the LLM during ``act``."""
    rows: list[int] = []
    engine.reader.on_forward = rows.append
    try:
        act()
    finally:
        engine.reader.on_forward = lambda rows: None
    return rows


def test_what_stories_share_is_read_once(open_fresh: Fresh) -> None:
    engine = open_fresh()
    begin = alone(open_fresh, begun(engine), (), 2, 3, sampling=DRAWN, context=Dense())
    how: dict[str, Any] = {"sampling": DRAWN, "context": Dense()}
    one = rows_read(engine, lambda: engine.tell_futures([begin, begin], None, **how, seeds=[1, 1]))
    single = rows_read(open_and(engine), lambda: engine.tell(begin, seed=1, **how))
    assert one == single, "equal stories cost what one costs"
    four = rows_read(
        engine, lambda: engine.tell_futures([begin] * 4, None, **how, seeds=[1, 2, 3, 4])
    )
    assert four[0] == single[0], "the prompt"
    assert max(four[1:]) <= 4 * 66 and len(four) < 2 * len(single)


def open_and(engine: SeedStoryEngine) -> SeedStoryEngine:
    """``engine`` with nothing kept."""
    engine.reader.forget()
    return engine


@pytest.mark.parametrize("long", [1, 30, 10_000])
def test_passes_alone_and_together_agree(
    open_fresh: Fresh, monkeypatch: pytest.MonkeyPatch, long: int
) -> None:
    """However many rows count as a long reading."""
    monkeypatch.setattr(shared_reader, "LONG", long)
    engine = open_fresh()
    begins = [begun(engine), begun(engine, 5, "Timmy ran to the old tree.")] * 2
    told = engine.tell_futures(begins, None, DRAWN, Window(1), [1, 2, 3, 4], panels=3)
    for at, story in enumerate(told):
        how = {"sampling": DRAWN, "context": Window(1)}
        assert_same_story(story, alone(open_fresh, begins[at], (), at + 1, 3, **how))


@pytest.mark.parametrize("apart", [False, True], ids=["branches", "nothing in common"])
@pytest.mark.parametrize("captions", [None, "George ran home."], ids=["told", "given"])
def test_the_memory_asked_for_holds_the_rows_of_all_stories(
    open_fresh: Fresh, monkeypatch: pytest.MonkeyPatch, apart: bool, captions: str | None
) -> None:
    engine, readers, asked, shares = open_fresh(), [], [], []
    part, policy = engine.parts["llm"], Window(2)
    acquire = part.acquire

    class Watched(shared_reader.SharedReader):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            readers.append(self)

    def forward(rows: int) -> None:
        needed = engine.reader.bytes_for(readers[-1].rows + rows, part.dtype) if readers else 0
        shares.append(needed / asked[-1])

    monkeypatch.setattr(futures, "SharedReader", Watched)
    monkeypatch.setattr(part, "acquire", lambda size=0: [asked.append(size), acquire(size)][1])
    begins = [engine.tell(begun(engine, 5 * i), seed=i) for i in range(4 if apart else 1)]
    assert engine.reader.nbytes, "the rows of the story told last are kept"
    engine.reader.on_forward = forward
    given = [[captions] * 2] * 4 if captions else None
    stories = begins if apart else futures_of(begins[0], 4)
    engine.tell_futures(stories, given, DRAWN, policy, [1, 2, 3, 4], panels=2)
    assert max(shares) <= 1, "never more than was asked for"
    assert max(shares) > 0.7, "nor much less"
    assert engine.reader.nbytes == 0, "no other rows lie beside them"


@pytest.mark.parametrize("stop_after", [0, 1, 40, 150])
def test_cancelling_keeps_what_is_finished_and_the_engine_sound(
    open_fresh: Fresh, stop_after: int
) -> None:
    engine, kept = open_fresh(), {}
    begin, seeds, calls = begun(engine), [1, 2, 3], 0
    long = replace(DRAWN, max_new_tokens=400)  # else some torch's numbers end all three too early

    def progress(done: int, total: int, note: str = "") -> None:
        nonlocal calls
        calls += 1
        if calls > stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.tell_futures(
            futures_of(begin, 3), None, long, Dense(), seeds, progress, panels=50,
            on_panel=lambda number, story: kept.update({number: story}),
        )  # fmt: skip
    assert calls == stop_after + 1, "stopped at once"
    for number, story in kept.items():
        panels = len(story) - 1 + story.ended  # the end comes with one telling more
        want = alone(open_fresh, begin, (), seeds[number], panels, sampling=long, context=Dense())
        assert_same_story(story, want)
    assert bool(kept) == (stop_after >= 40)
    assert_same_story(
        engine.tell(begin, seed=1, sampling=DRAWN), open_fresh().tell(begin, seed=1, sampling=DRAWN)
    )


def test_a_stop_is_asked_for_before_every_pass(open_fresh: Fresh) -> None:
    """Also between the long prompts of several stories, which are read in passes of their own."""
    engine, happened = open_fresh(), ""

    def heard(*_: Any) -> None:
        nonlocal happened
        happened += "?"

    def forward(rows: int) -> None:
        nonlocal happened
        happened += "L" if rows >= shared_reader.LONG else "s"

    begins = [alone(open_fresh, begun(engine, i), (), i, 2, sampling=DRAWN) for i in range(3)]
    engine.reader.on_forward = forward
    engine.tell_futures(begins, None, DRAWN, Dense(), [1, 2, 3], heard)
    assert "L?L" in happened and "?s?s" in happened
    assert not {"LL", "Ls", "sL", "ss"} & {happened[i : i + 2] for i in range(len(happened))}


def test_an_error_in_a_forward_comes_through(open_fresh: Fresh) -> None:
    engine, calls = open_fresh(), 0

    def fail(rows: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise MemoryError

    engine.reader.on_forward = fail
    with pytest.raises(MemoryError):
        engine.tell_futures(futures_of(begun(engine), 2), None, DRAWN, seeds=[1, 2], panels=2)


def test_progress_shows_every_story(open_fresh: Fresh) -> None:
    engine, notes = open_fresh(), []
    report = lambda done, total, note="": notes.append(note)  # noqa: E731
    told = engine.tell_futures(
        futures_of(begun(engine), 2), None, DRAWN, Dense(), [1, 2], report, panels=2
    )
    last = notes[-1].splitlines()
    assert last[0].startswith("1 · ") and last[1].startswith("2 · ")
    captions = [panel.caption for story in told for panel in story.panels[1:]]
    assert all(any(caption in note for note in notes) for caption in captions[:1])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seeds": [1]}, "2 stories need as many seeds, got 1"),
        ({"captions": [()]}, "as many captions"),
        ({"panels": [1, 2, 3]}, "as many numbers of panels"),
        ({"seeds": [1, -1]}, "whole number from 0"),
        ({"captions": [("<img>",), ()]}, "uses as marks"),
    ],
)
def test_wrong_wishes_are_refused(open_fresh: Fresh, wrong: dict[str, Any], message: str) -> None:
    engine = open_fresh()
    with pytest.raises(SeedStoryError, match=message):
        engine.tell_futures([begun(engine)] * 2, **wrong)


def test_stories_of_another_world_are_refused(open_fresh: Fresh) -> None:
    engine = open_fresh()
    story = begun(engine)
    other = replace(story, world=replace(story.world, digest="f" * 64))
    with pytest.raises(SeedStoryError, match="told with the world"):
        tell_futures(engine, [story, other])
