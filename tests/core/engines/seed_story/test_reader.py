"""What is kept changes nothing but the work: for every policy, at every fork, after every stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import pytest
import torch
from support.tiny_tales import (
    BEGIN,
    CONFIG,
    CPU,
    END,
    SLOTS,
    SWELL,
    TinyPanel,
    TinyTeller,
    opening,
    prompt,
    rounding,
)

from seedstory_core.context import (
    ORIGINAL,
    Block,
    ContextPolicy,
    Dense,
    MultimodalSink,
    Span,
    Window,
)
from seedstory_core.engines.seed_story.reader import Reader, page, spans
from seedstory_core.kv_cache import Buffers

SINK = MultimodalSink(
    window=2, first=2, before_begin=1, from_begin=2, before_end=2, from_end=2, cap=3
)
POLICIES: list[ContextPolicy] = [
    Dense(), Window(1), Window(3), Block(3, 2), Block(4, 4), SINK, replace(SINK, cap=0),
    replace(SINK, positions=ORIGINAL), MultimodalSink(window=1, cap=1),
]  # fmt: skip
every_policy = pytest.mark.parametrize("policy", POLICIES, ids=str)
PANELS = 10
DTYPE = torch.float64  # so that nothing but what is kept can make a difference


@lru_cache
def told(policy: ContextPolicy, panels: int = PANELS) -> list[TinyPanel]:
    teller, story = TinyTeller(policy, DTYPE), opening(DTYPE)
    for panel in range(panels):
        story = teller.tell(story, words=2 + panel % 3)
    return story


def same(got: Sequence[TinyPanel], want: Sequence[TinyPanel]) -> None:
    assert [panel.words for panel in got] == [panel.words for panel in want]
    for ours, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(ours.features, theirs.features, **rounding(DTYPE, SWELL))


# Law: a replay gives the same --------------------------------------------------------------------


@every_policy
def test_after_a_drop_the_story_goes_on_as_if_it_had_been_kept(policy: ContextPolicy) -> None:
    want = told(policy)
    for panel in range(PANELS):
        again = TinyTeller(policy, DTYPE).tell(want[: panel + 1], words=2 + panel % 3)
        same(again, want[: panel + 2])


@every_policy
def test_a_reader_that_forgets_is_as_one_that_has_read_nothing(policy: ContextPolicy) -> None:
    want = told(policy, 6)
    teller = TinyTeller(policy, DTYPE)
    for panel in (5, 2, 5):
        same(teller.tell(want[: panel + 1], words=2 + panel % 3), want[: panel + 2])
        assert teller.reader.nbytes > 0
        teller.reader.forget()
        assert teller.reader.nbytes == teller.reader.rows == 0


@every_policy
def test_forks_and_rewinds_replay_what_they_need(policy: ContextPolicy) -> None:
    """One reader jumps through the story: back and forth, aside, and through another story."""
    want = told(policy)
    teller, other = TinyTeller(policy, DTYPE), opening(DTYPE, seed=1)
    for panel in (9, 8, 8, 2, 3, 9, 0, 5, 6, 7):
        teller.give(want[: panel + 1], (9, 9))  # a fork that is thrown away
        same(teller.tell(want[: panel + 1], words=2 + panel % 3), want[: panel + 2])
        teller.reader.park()
        if panel % 3 == 0:
            other = teller.tell(other)
    alone = opening(DTYPE, seed=1)
    for _ in range(len(other) - 1):
        alone = TinyTeller(policy, DTYPE).tell(alone)
    same(other, alone)


# The schedule ------------------------------------------------------------------------------------


@every_policy
def test_a_told_panel_takes_one_forward_a_word_and_two_more(policy: ContextPolicy) -> None:
    teller, story = TinyTeller(policy, DTYPE), opening(DTYPE)
    for panel in range(PANELS):
        story = teller.tell(story, words=2 + panel % 3)
        written, *words, picture = teller.forwards
        assert len(teller.forwards) == len(story[-1].words) + 2
        assert set(words) <= {1} and picture == 1 + len(SLOTS)
        if isinstance(policy, (Dense, MultimodalSink)) and panel:
            assert written == len(SLOTS) + 1  # the told picture, read with its features


@every_policy
def test_a_given_panel_takes_one_forward(policy: ContextPolicy) -> None:
    teller, story = TinyTeller(policy, DTYPE), opening(DTYPE)
    for panel in range(PANELS):
        story = teller.give(story, (5, 6, 7 + panel))
        (rows,) = teller.forwards
        if isinstance(policy, (Dense, MultimodalSink)) and panel:
            assert rows == len(SLOTS) + 1 + 3 + 1 + len(SLOTS)


def test_a_block_reads_its_panels_anew_once_a_block() -> None:
    teller, story, firsts = TinyTeller(Block(4, 2), DTYPE), opening(DTYPE), list[int]()
    for panel in range(9):
        story = teller.give(story, (8 + panel, 9))
        firsts.append(teller.forwards[0])
    span, own = len(SLOTS) + 2, 2 + 1 + len(SLOTS)  # what a panel before takes; the panel's own
    on, anew = len(SLOTS) + 1 + own, 3 * (2 + span) + own
    assert firsts == [1 + 3 + span + own, on, on, on, anew, on, anew, on, anew]


def test_a_replay_under_the_sink_passes_over_every_panel() -> None:
    story = told(SINK)
    teller = TinyTeller(SINK, DTYPE)
    teller.tell(story, words=3)
    begins = [row for row, id in enumerate(prompt(story, SINK)[0]) if id == BEGIN]
    passes = len(begins) - SINK.window  # one up to each eviction
    assert teller.forwards[0] == begins[SINK.window] + 1
    assert len(teller.forwards) == passes + 3 + 2
    teller.tell(story, words=3)  # told again, nothing has to come back
    assert len(teller.forwards) == 3 + 2 and teller.forwards[0] == 1


# Stops -------------------------------------------------------------------------------------------


class Stop(Exception):
    """As a user's cancel."""


def stopping(after: int) -> Callable[..., None]:
    left = after

    def count(*_: object) -> None:
        nonlocal left
        if not left:
            raise Stop
        left -= 1

    return count


@every_policy
@pytest.mark.parametrize("after", [0, 1, 2, 4])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_stop_before_any_forward_leaves_the_reader_sound(
    policy: ContextPolicy, after: int, fresh: bool
) -> None:
    want = told(policy, 7)
    teller = TinyTeller(policy, DTYPE)
    if not fresh:
        teller.tell(want[:-2], words=9)
    teller.reader.on_forward = stopping(after)
    with pytest.raises(Stop):
        teller.tell(want[:-1], words=6)
    teller.reader.on_forward = teller.forwards.append
    same(teller.tell(want[:-1], words=2 + 6 % 3), want)


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("after", range(8))
def test_a_stop_within_any_forward_or_eviction_leaves_the_sink_sound(
    layer: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = told(SINK, 8)
    teller = TinyTeller(SINK, DTYPE)
    teller.tell(want[:-3], words=4)
    hook = teller.llm.model.layers[layer].register_forward_pre_hook(stopping(after))
    with pytest.raises(Stop):
        teller.tell(want[:-1], words=9)
    hook.remove()
    same(teller.tell(want[:-1], words=2 + 7 % 3), want)
    keep, tick = Buffers.keep, stopping(after)

    def fail(self: Buffers, layer: int, rows: torch.Tensor) -> torch.Tensor:
        tick()
        return keep(self, layer, rows)

    teller.reader.forget()
    with monkeypatch.context() as patched, pytest.raises(Stop):
        patched.setattr(Buffers, "keep", fail)
        teller.tell(want[:-1], words=9)
    same(teller.tell(want[:-1], words=2 + 7 % 3), want)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_replay_can_be_stopped_between_its_passes(after: int) -> None:
    want = told(SINK)
    teller = TinyTeller(SINK, DTYPE)
    with pytest.raises(Stop):
        teller.tell(want[:-1], on_pass=stopping(after))
    assert len(teller.forwards) == after + 1
    same(teller.tell(want[:-1], words=2 + (PANELS - 1) % 3), want)
    assert len(teller.forwards) < PANELS + 2  # what was read before the stop was not read twice


# What rows depend on -----------------------------------------------------------------------------


@pytest.mark.parametrize("other", [Window(99), SINK, MultimodalSink(window=99)])
def test_rows_of_another_policy_or_other_weights_are_never_kept(other: ContextPolicy) -> None:
    ids, pictures = prompt(told(Dense(), 2), Dense())
    reader, teller = Reader(CONFIG.llm), TinyTeller(Dense(), DTYPE)

    def read(policy: ContextPolicy, weights: str) -> int:
        text = page(ids, SLOTS, pictures, policy)
        kept = reader.begin(text, weights, CPU)
        with torch.no_grad():
            reader.read_page(teller.llm, text, teller.like)
        return kept

    assert read(Dense(), "a") == 0 and read(Dense(), "a") == len(ids) - 1
    assert read(Dense(), "b") == 0 and read(Dense(), "b") == len(ids) - 1
    assert read(other, "b") == 0 and read(Dense(), "b") == 0


def test_pictures_are_told_apart_where_ids_are_equal() -> None:
    one, two = opening(DTYPE, 1), opening(DTYPE, 2)
    teller = TinyTeller(SINK, DTYPE)
    teller.give(one, (5,))
    assert teller.reader.keys[4] != teller.reader.keys[5]
    want = TinyTeller(SINK, DTYPE).give(two, (5,))
    same(teller.give(two, (5,)), want)


@every_policy
def test_memory_is_that_of_one_story(policy: ContextPolicy) -> None:
    teller, most = TinyTeller(policy, DTYPE), 0
    for seed in range(6):
        story = opening(DTYPE, seed)
        for _ in range(5):
            story = teller.give(story, (5, 6, 7))
        most = max(most, teller.reader.nbytes)
    assert most == teller.reader.nbytes <= teller.reader.bytes_for(256, DTYPE, policy)


def test_a_span_that_is_cut_short_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        page([1, BEGIN, *SLOTS, END, BEGIN, *SLOTS, END], SLOTS, [torch.zeros(4, 32)])


def test_pictures_are_found_in_the_prompt_that_is_asked_about() -> None:
    picture = (BEGIN, *SLOTS, END)
    one, two = (1, *picture), (1, 2, *picture, 3, *picture)
    places = (Span(2, 3 + len(SLOTS)), Span(5 + len(SLOTS), 6 + 2 * len(SLOTS)))
    slots = tuple(SLOTS)
    assert spans(two, slots) == spans(two, slots) == places
    assert spans(one, slots) == (Span(1, 2 + len(SLOTS)),)
    growing = [1, *picture]
    assert len(spans(growing, SLOTS)) == 1
    growing += picture
    assert len(spans(growing, SLOTS)) == 2
