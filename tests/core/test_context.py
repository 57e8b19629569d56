"""Context policies: what is in view, which rows of a cache stay, and how many there ever are."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from seedstory_core.context import (
    ORIGINAL,
    Block,
    ContextPolicy,
    Dense,
    MultimodalSink,
    Span,
    Window,
    context_rows,
    named,
    restore,
)
from seedstory_core.errors import SeedStoryError
from seedstory_core.sampling import describe

ALL: list[ContextPolicy] = [
    Dense(), Window(), Window(3), Block(), Block(5, 5), Block(3, 1), MultimodalSink(),
    MultimodalSink(2, 3, 1, 2, 3, 0, cap=5, positions=ORIGINAL), MultimodalSink(1, 1, 0, 0, 0, 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "oldest"),
    [
        (Dense(), [0] * 14),
        (Window(8), [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6]),
        (Window(1), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]),
        (Block(8, 4), [0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 8, 8]),
        (Block(3, 1), [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        (Block(2, 2), [0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12]),
        (MultimodalSink(), [0] * 14),
    ],
)
def test_the_oldest_panel_of_the_prompt(policy: ContextPolicy, oldest: list[int]) -> None:
    assert [policy.first_visible(told) for told in range(1, 15)] == oldest


# Three words, <img>, four slots, </img>; BOS before the first panel.
#   panel 0: 0 BOS, 1 2 3 words, 4 <img>, 5 6 7 8, 9 </img>
#   panel 1: 10 11 12 words, 13 <img>, 14 15 16 17, 18 </img>;   panel 2: 19..27, and so on
FIVE = [Span(4, 9), Span(13, 18), Span(22, 27), Span(31, 36), Span(40, 45)]
SMALL = MultimodalSink(
    window=2, first=2, before_begin=1, from_begin=2, before_end=1, from_end=2, cap=2
)


def test_what_stays_after_three_evictions() -> None:
    """Cache coordinates, written out: the first index in each comment is a row of the story."""
    assert list(SMALL.evicts_before(FIVE)) == [23, 32, 41]  # behind the third, fourth, fifth <img>

    held = [*range(23)]
    kept = SMALL.kept(held, FIVE, 23)
    assert kept == [
        0, 1,  # BOS and a word
        3, 4, 5, 8, 9,  # panel 0: a word, <img>, slot 0; slot 3, </img> (and row 10, see below)
        *range(10, 23),  # panels 1 and 2, the latter up to its <img>
    ]  # fmt: skip
    held = [held[index] for index in kept] + [*range(23, 32)]
    assert len(held) == 29

    kept = SMALL.kept(held, FIVE, 32)
    assert kept == [
        0, 1,
        2, 3, 4, 5, 6, 7,  # panel 0's rows 3 4 5 8 9, and 10, the one behind its </img>
        9, 10, 11, 14, 15,  # panel 1: rows 12 13 14, 17 18
        *range(16, 29),  # rows 19 to 31: panels 2 and 3
    ]  # fmt: skip
    held = [held[index] for index in kept] + [*range(32, 41)]
    assert len(held) == 35

    kept = SMALL.kept(held, FIVE, 41)
    assert kept == [
        0, 1,  # panel 0's six rows leave: two panels are kept of
        8, 9, 10, 11, 12, 13,  # panel 1's rows 12 13 14, 17 18 19
        15, 16, 17, 20, 21,  # panel 2: rows 21 22 23, 26 27
        *range(22, 35),  # rows 28 to 40: panels 3 and 4
    ]  # fmt: skip


def test_the_default_counts_are_the_scripts() -> None:
    """vis_george_sink.py:243-290: 4 first rows, 12 around <img> and 12 around </img>."""
    spans = [Span(50 + 116 * i, 115 + 116 * i) for i in range(9)]
    (row,) = MultimodalSink().evicts_before(spans)
    kept = MultimodalSink().kept(range(row), spans, row)
    old = [*range(4), *range(46, 58), *range(107, 119)]
    assert kept == old + list(range(119, row))


def test_short_captions_share_rows_with_their_neighbours_once() -> None:
    spans = [Span(2, 5), Span(7, 10), Span(12, 15), Span(17, 20), Span(22, 25)]
    policy = MultimodalSink(window=1)
    held: list[int] = []
    for row in policy.evicts_before(spans):
        held += range(held[-1] + 1 if held else 0, row)
        held = [held[index] for index in policy.kept(held, spans, row)]
        assert held == list(range(row))  # everything is near some mark, so everything stays, once


def sizes(seed: int, panels: int = 60) -> list[tuple[int, int]]:
    draw = random.Random(seed)
    return [(draw.randint(1, 30), 4) for _ in range(panels)]


def told(policy: ContextPolicy, panels: list[tuple[int, int]]) -> Iterator[int]:
    """Rows in the cache at the end of each telling, the told picture's included."""
    spans: list[Span] = []
    ends = [1]  # of BOS and of each panel
    for words, slots in panels:
        spans.append(Span(ends[-1] + words, ends[-1] + words + slots + 1))
        ends.append(spans[-1].end + 1)
    held: list[int] = []
    done = 0
    for count in range(1, len(panels)):
        rows = policy.evicts_before(spans[:count])
        for row in rows[done:]:
            held = [*(place for place in held if place < row), *range(_next(held), row)]
            held = [held[index] for index in policy.kept(held, spans[:count], row)]
        done = len(rows)
        first = policy.first_visible(count)
        if first:
            held = [0, *range(ends[first], ends[count])]
        held += range(_next(held), ends[count + 1])
        yield len(held)


def _next(held: list[int]) -> int:
    return held[-1] + 1 if held else 0


@pytest.mark.parametrize("policy", ALL, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_no_cache_is_ever_longer_than_was_said(policy: ContextPolicy, seed: int) -> None:
    panels = sizes(seed)
    widest = max(words + slots + 2 for words, slots in panels)
    bound = context_rows(policy, widest, len(panels))
    assert bound is not None and max(told(policy, panels)) <= bound
    for_ever = context_rows(policy, widest)
    assert for_ever is None or bound <= for_ever


@pytest.mark.parametrize("policy", [Window(8), MultimodalSink(), SMALL], ids=str)
def test_with_panels_of_one_size_the_bound_is_reached_and_kept_for_ever(
    policy: ContextPolicy,
) -> None:
    rows = list(told(policy, [(50, 64)] * 200))
    bound = context_rows(policy, 116)
    assert bound is not None
    assert set(rows[30:]) == {rows[-1]} and bound - 3 <= rows[-1] <= bound


def test_nothing_bounds_a_dense_story_but_its_length() -> None:
    assert context_rows(Dense(), 116) is None
    assert context_rows(Dense(), 116, panels=25) == 2901
    assert context_rows(MultimodalSink(cap=32), 116) == 4 + 32 * 24 + 9 * 116
    assert context_rows(MultimodalSink(), 116, panels=5) == 581


@pytest.mark.parametrize("policy", ALL, ids=str)
def test_a_policy_comes_back_from_json(policy: ContextPolicy) -> None:
    assert restore(json.loads(json.dumps(describe(policy)))) == policy


def test_absent_fields_are_the_defaults() -> None:
    assert restore({"class": "MultimodalSink", "window": 3}) == MultimodalSink(window=3)


@pytest.mark.parametrize(
    "data", [{}, {"class": "Sink"}, {"class": "Window", "step": 3}, {"class": "ContextPolicy"}]
)
def test_an_unknown_policy_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(SeedStoryError, match="update the pack"):
        restore(data)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Window(0), "at least 1, got 0"),
        (lambda: Block(8, 0), "at least 1, got 0"),
        (lambda: Block(3, 4), "at least 4, got 3"),
        (lambda: MultimodalSink(window=0), "at least 1, got 0"),
        (lambda: MultimodalSink(first=0), "BOS always stays"),
        (lambda: MultimodalSink(before_end=-1), "at least 0, got -1"),
        (lambda: MultimodalSink(cap=-1), "at least 0, got -1"),
        (lambda: MultimodalSink(positions="rotated"), "'reindexed' or 'original'"),
    ],
)
def test_impossible_counts_are_refused(make: object, words: str) -> None:
    with pytest.raises(SeedStoryError, match=words):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("dense", Dense()), ("window", Window(8)), ("Window:3", Window(3)), ("block", Block(8, 4)),
        ("block:6", Block(6, 4)), ("block:6:2", Block(6, 2)), ("sink", MultimodalSink()),
        ("sink:5", MultimodalSink(window=5)), ("sink:5:0", MultimodalSink(window=5, cap=0)),
        ("sink:8:16:original", MultimodalSink(positions=ORIGINAL)),
    ],
)  # fmt: skip
def test_policies_have_names(text: str, policy: ContextPolicy) -> None:
    assert named(text) == policy


@pytest.mark.parametrize(
    "text", ["", "dense:3", "window:", "window:x", "window:-1", "block:8:4:2", "sink:8:16:old", "8"]
)
def test_wrong_names_are_refused_with_what_is_right(text: str) -> None:
    with pytest.raises(SeedStoryError, match="dense, window|'reindexed' or 'original'"):
        named(text)
