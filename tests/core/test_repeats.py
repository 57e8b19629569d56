"""No caption of a story twice: the law on hand-made scores, and a loop that ends.

Ids: text 0..8, EOS 9; picture: begin 20, slots 12 10 11 (in this order), end 21; turn 6 7.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from seedstory_core.decoding import Markers, ban, decode
from seedstory_core.repeats import NOTHING, Earlier, without_turn
from seedstory_core.sampling import Greedy, Nucleus, Sampling

MARKERS = Markers(begin=20, end=21, slots=(12, 10, 11), eos=9)
SPAN = (20, 12, 10, 11, 21)
VOCAB = 24
TURN = (6, 7)
CAPTIONS = ((1, 2, 3, 4), (2, 3, 5))


def spell(ids: Sequence[int]) -> str:
    """As an engine does: the turn goes, and id 8 is a space."""
    ids = ids[2:] if tuple(ids[:2]) == TURN else ids
    return " ".join(" " if token == 8 else str(token) for token in ids)


def earlier(size: int, *captions: Sequence[int], turn: Sequence[int] = TURN) -> Earlier:
    pairs = [(caption, spell(caption)) for caption in captions or CAPTIONS]
    return Earlier.index(pairs, size, turn, spell)


@pytest.mark.parametrize(
    ("size", "text", "expected"),
    [
        (2, [], set()),
        (2, [6, 7], set()),  # nothing but the turn
        (2, [6, 7, 1], {2}),
        (2, [6, 7, 2], {3}),
        (2, [6, 7, 3], {4, 5}),  # two captions go on differently
        (2, [3], {4, 5}),  # a turn left out changes nothing
        (2, [6, 7, 4], set()),  # the end of a caption is followed by nothing
        (3, [6, 7, 3], set()),
        (3, [6, 7, 2, 3], {4, 5}),
        (3, [6, 7, 0, 2, 3], {4, 5}),  # wherever it stands
        (4, [6, 7, 2, 3], set()),
        (4, [6, 7, 1, 2, 3], {4}),
        (5, [6, 7, 1, 2, 3, 4], set()),  # larger than any caption
        (99, [6, 7, 1, 2, 3, 4], set()),
        (1, [6, 7], {1, 2, 3, 4, 5}),
        (1, [6, 7, 0], {1, 2, 3, 4, 5}),
    ],
)
def test_runs_of_earlier_captions_are_banned(
    size: int, text: list[int], expected: set[int]
) -> None:
    assert earlier(size).repeating(text) == expected


def test_captions_are_indexed_without_their_turn() -> None:
    bare, with_turn = earlier(2), earlier(2, *((*TURN, *caption) for caption in CAPTIONS))
    assert with_turn.follow == bare.follow and with_turn.captions == bare.captions


def test_the_turn_itself_is_never_banned() -> None:
    index = earlier(1, (7, 6, 1))  # words with ids of the turn's
    assert index.repeating([]) == {1, 7} and index.repeating([6]) == {1, 6}
    assert index.repeating([6, 7]) == {1, 6, 7}


@pytest.mark.parametrize(
    ("ids", "turn", "rest"),
    [([], (6, 7), []), ([6], (6, 7), []), ([6, 7], (6, 7), []), ([6, 7, 1], (6, 7), [1]),
     ([6, 5, 1], (6, 7), [5, 1]), ([1, 6, 7], (6, 7), [1, 6, 7]), ([1], (), [1]),
     ([6, 7, 6, 7], (6, 7), [6, 7])],
)  # fmt: skip
def test_a_turn_of_several_ids(ids: list[int], turn: tuple[int, ...], rest: list[int]) -> None:
    assert list(without_turn(ids, turn)) == rest


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ([6, 7, 1, 2, 3, 4], True),
        ([1, 2, 3, 4], True),
        ([6, 7, 8, 1, 2, 3, 4, 8], True),  # a space more is no other caption
        ([6, 7, 1, 2, 3], False),
        ([6, 7, 1, 2, 3, 4, 5], False),
        ([6, 7], False),
        ([], False),
    ],
)
def test_whole_captions_are_known(text: list[int], whole: bool) -> None:
    assert earlier(99).complete(text) == whole


def test_a_panel_without_words_bans_none() -> None:
    assert not earlier(9, ()).complete([6, 7]) and not NOTHING.complete([])
    assert NOTHING.repeating([1, 2]) == set()


def test_bans_leave_the_other_scores() -> None:
    scores = torch.arange(VOCAB) - 30.0
    got = ban(scores, {3, 9}, MARKERS)
    gone = {3, 9, 10, 11, 12, 21}  # a picture token's score would win over these
    for id in range(VOCAB):
        assert got[id] == (-torch.inf if id in gone else scores[id])
    assert ban(scores, set(), MARKERS) is scores


def test_bans_that_leave_nothing_are_lifted() -> None:
    scores = torch.full((VOCAB,), -torch.inf)
    scores[[3, 5]] = 1.0
    assert torch.equal(ban(scores, {3, 5}, MARKERS), scores)
    generator = torch.Generator().manual_seed(0)
    for picker in (Greedy(), Nucleus(1.0, 1.0)):
        assert picker.pick(ban(scores, {3}, MARKERS), generator) == 5
        assert picker.pick(ban(scores, {3, 5}, MARKERS), generator) in (3, 5)


class Parrot:
    """Likes to say 6 7 1 2 3 4 and a picture; next best, after a caption, 5 (and 0 after that)."""

    def __init__(self, low: float = 0.0) -> None:
        self._said: list[int] = []
        self._low = low

    def read(self, ids: Sequence[int]) -> Tensor:
        self._said += ids
        return torch.zeros(len(ids), 1)

    def scores(self, hidden: Tensor) -> Tensor:
        scores = torch.full((VOCAB,), self._low)
        wanted = [6, 7, 1, 2, 3, 4, *SPAN, 9]
        scores[wanted[min(len(self._said), len(wanted) - 1)]] += 9
        scores[20] += 6 if len(self._said) > 4 else 0
        scores[9] += 5
        scores[5] += 4
        scores[0] += 3
        return scores


def said(index: Earlier, low: float = 0.0, seed: int = 0, **rules: object) -> tuple[int, ...]:
    sampling = Sampling(**rules)  # type: ignore[arg-type]
    return decode(Parrot(low), torch.zeros(1), MARKERS, sampling, seed, earlier=index).ids


@pytest.mark.parametrize("low", [0.0, -20.0])  # below 0 the 0.0 of picture tokens would win
def test_a_greedy_loop_is_broken(low: float) -> None:
    told: list[tuple[int, ...]] = []
    for _ in range(5):
        captions = [tuple(token for token in ids if token not in SPAN) for ids in told]
        index = Earlier.index([(ids, spell(ids)) for ids in captions], 99, TURN, spell)
        told.append(said(index, low, suppress=0.0 if low == 0 else -torch.inf))
    assert len(set(told)) == 5
    assert told[0] == (6, 7, 1, 2, 3, 4, *SPAN)
    assert told[1] == (6, 7, 1, 2, 3, 4, 5, *SPAN)  # the caption goes on
    assert all(ids[-5:] == SPAN for ids in told)


def test_runs_turn_a_caption_aside() -> None:
    ids = said(earlier(3, (1, 2, 3, 4)))
    assert ids[:5] == (6, 7, 1, 2, 9)  # not 3; EOS is next best


def test_neither_picture_nor_end_follows_a_whole_caption() -> None:
    class Ends(Parrot):
        def scores(self, hidden: Tensor) -> Tensor:
            scores = super().scores(hidden)
            scores[20] = -30.0
            return scores

    sampling = Sampling(max_new_tokens=7)
    index = earlier(99, (1, 2, 3, 4))
    ids = decode(Ends(), torch.zeros(1), MARKERS, sampling, earlier=index).ids
    assert ids == (6, 7, 1, 2, 3, 4, 5)


def test_picture_tokens_cannot_slip_in_for_a_banned_word() -> None:
    """Over scores below 0 their 0.0 wins where nothing is banned, as in the reference."""
    assert Sampling().suppress == 0.0 and said(NOTHING, low=-20.0)[0] == 10
    assert said(earlier(1, (1, 2, 3, 4)), low=-20.0)[0] not in (10, 11, 12, 21)


def test_the_cap_on_a_caption_is_stronger() -> None:
    ids = said(earlier(99, (1, 2, 3, 4)), max_caption_tokens=6, stop_at_image=False)
    assert ids == (6, 7, 1, 2, 3, 4, *SPAN, 9)  # and the end behind a picture is free


def test_drawing_depends_on_the_seed_alone() -> None:
    rules = {"picker": Nucleus(4.0, 1.0), "suppress": -torch.inf}
    index = earlier(2, (1, 2, 3, 4))

    def drawn(seed: int) -> tuple[int, ...]:
        return said(index, seed=seed, **rules)

    torch.manual_seed(0)
    first = [drawn(seed) for seed in range(9)]
    torch.manual_seed(1)
    assert [drawn(seed) for seed in range(9)] == first and len(set(first)) > 1
    for ids in first:
        pairs = set(zip(ids, ids[1:], strict=False))
        assert not pairs & {(1, 2), (2, 3), (3, 4)}


def test_without_captions_nothing_changes() -> None:
    assert said(NOTHING) == said(earlier(99, ())) == (6, 7, 1, 2, 3, 4, *SPAN)


def test_a_thousand_panels_are_indexed_at_once() -> None:
    captions = [(tuple((i * 31 + k * 17) % 997 for k in range(40)), str(i)) for i in range(1000)]
    begun = time.process_time()
    index = Earlier.index(captions, 8, TURN, spell)
    for start in range(500):
        index.repeating(captions[start][0][:20])
    assert time.process_time() - begun < 2  # the processor's own time: 0.1 s on two busy cores
