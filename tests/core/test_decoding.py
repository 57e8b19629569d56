"""The decode loop against a scripted model: rules, forced spans, limits, stops, quirks.

Ids: text 0..9, EOS 9; picture: begin 20, slots 12 10 11 (in this order), end 21.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from seedstory_core.decoding import (
    Decoded,
    Markers,
    apply_rules,
    banned,
    decode,
    picture_at,
    picture_rows,
)
from seedstory_core.errors import SeedStoryError
from seedstory_core.sampling import Greedy, Nucleus, Sampling

MARKERS = Markers(begin=20, end=21, slots=(12, 10, 11), eos=9)
SPAN = [20, 12, 10, 11, 21]
VOCAB = 24


@dataclass
class Script:
    """Wants the tokens of ``wanted`` in turn, by index of what it was fed; row i of its hidden
    states is [i, id]."""

    wanted: dict[int, int]
    low: float = 0.0
    fed: list[list[int]] = field(default_factory=list)
    read_ids: list[int] = field(default_factory=list)

    def read(self, ids: Sequence[int]) -> Tensor:
        start = len(self.read_ids)
        self.fed.append(list(ids))
        self.read_ids += ids
        return torch.tensor([[float(start + i), float(id)] for i, id in enumerate(ids)])

    def scores(self, hidden: Tensor) -> Tensor:
        scores = torch.full((VOCAB,), self.low)
        token = self.wanted.get(len(self.read_ids))
        if token is not None:
            scores[token] = self.low + 5
        return scores


def tell(script: Script, **sampling: object) -> Decoded:
    return decode(script, torch.zeros(2), MARKERS, Sampling(**sampling))  # type: ignore[arg-type]


def test_a_picture_is_read_in_one_pass_and_ends_the_panel() -> None:
    script = Script({0: 1, 1: 2, 2: 20})
    said = tell(script)
    assert list(said.ids) == [1, 2, *SPAN]
    assert script.fed == [[1], [2], SPAN[:-1]]  # the end is not read, nothing follows it
    rows = picture_rows(said, MARKERS)
    assert rows is not None and rows.tolist() == [[3, 12], [4, 10], [5, 11]]


def test_the_reference_goes_on_to_eos_and_takes_the_last_picture() -> None:
    script = Script({0: 1, 1: 20, 6: 2, 7: 20, 12: 9})
    said = tell(script, stop_at_image=False)
    assert list(said.ids) == [1, *SPAN, 2, *SPAN, 9]
    assert script.fed == [[1], SPAN, [2], SPAN]
    rows = picture_rows(said, MARKERS, blind=True)
    assert rows is not None and rows[:, 0].tolist() == [8, 9, 10]


@pytest.mark.parametrize(
    ("limit", "ids", "picture"),
    [
        (1, [1], False),
        (2, [1, 20], False),
        (4, [1, 20, 12, 10], False),
        (5, [1, 20, 12, 10, 11], False),
        (6, [1, *SPAN], True),  # the end as the very last token still makes a picture
        (7, [1, *SPAN, 9], True),
    ],
)
@pytest.mark.parametrize("blind", [True, False])
def test_the_limit_cuts_exactly(limit: int, ids: list[int], picture: bool, blind: bool) -> None:
    script = Script({0: 1, 1: 20, 6: 9})
    said = tell(script, max_new_tokens=limit, stop_at_image=False)
    assert list(said.ids) == ids
    assert (picture_rows(said, MARKERS, blind) is not None) == picture


def test_eos_ends_a_panel_without_a_picture() -> None:
    said = tell(Script({0: 3, 1: 9}))
    assert list(said.ids) == [3, 9] and picture_rows(said, MARKERS) is None


# SPEC quirk 2: 0.0 wins over negative scores; quirk 3: what it starts is forced on.
@pytest.mark.parametrize(
    ("suppress", "low", "begins"),
    [
        (0.0, -8.0, [10, 11, 21]),  # of equal zeros the first id wins: slot 10, then its successors
        (-torch.inf, -8.0, [4]),
        (0.0, 0.5, [4]),
    ],
)
def test_suppressed_tokens_win_only_over_negative_scores(
    suppress: float, low: float, begins: list[int]
) -> None:
    script = Script({0: 4}, low=low)
    said = tell(script, suppress=suppress, max_new_tokens=3, stop_at_image=False)
    assert list(said.ids)[: len(begins)] == begins


def test_an_accidental_slot_is_forced_on_but_makes_no_whole_picture() -> None:
    script = Script({3: 5, 4: 20}, low=-9.0)
    script.wanted[0] = 4
    said = tell(script, max_new_tokens=20)
    assert list(said.ids[:3]) == [10, 11, 21]
    assert picture_at(said.ids[:3], MARKERS) == -1


def test_blind_rows_are_whatever_stands_before_the_last_end() -> None:
    hidden = torch.arange(12.0).view(6, 2)
    said = Decoded((1, 2, 10, 11, 21, 9), hidden[:5])
    assert picture_rows(said, MARKERS) is None
    rows = picture_rows(said, MARKERS, blind=True)
    assert rows is not None and torch.equal(rows, hidden[1:4])


# SPEC quirk 4: fewer ids than slots before </img> crash the reference; here they are no picture.
@pytest.mark.parametrize("ids", [(21,), (1, 21), (10, 11, 21)[1:]])
def test_too_few_rows_before_the_end_are_no_picture(ids: tuple[int, ...]) -> None:
    said = Decoded(ids, torch.zeros(len(ids), 2))
    assert picture_rows(said, MARKERS, blind=True) is None


def test_a_cap_forces_the_picture_once() -> None:
    script = Script({i: 1 + i for i in range(8)})
    said = tell(script, max_caption_tokens=3)
    assert list(said.ids) == [1, 2, 3, *SPAN]
    script = Script({i: 1 + i % 5 for i in range(30)})
    said = tell(script, max_caption_tokens=3, stop_at_image=False, max_new_tokens=14)
    assert list(said.ids).count(20) == 1


def test_rules_touch_what_they_say() -> None:
    scores = torch.zeros(VOCAB)
    scores[[1, 2, 3]] = torch.tensor([4.0, -4.0, 4.0])
    sampling = Sampling(repetition_penalty=2.0, no_repeat_ngram=2)
    got = apply_rules(scores, [1, 2, 1], MARKERS, sampling)
    assert got[1] == 2.0 and got[2] == -torch.inf and got[3] == 4.0  # 1 2 was said after 1
    got = apply_rules(scores, [2], MARKERS, Sampling(repetition_penalty=2.0))
    assert got[2] == -8.0 and scores[2] == -4.0


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [([], 3, []), ([1, 2], 3, []), ([1, 2, 3, 1, 2], 3, [3]), ([1, 1, 1], 2, [1]),
     ([4, 5], 1, [4, 5]), ([1, 2, 1, 3, 1], 2, [2, 3]), ([1, 2, 3], 0, [])],
)  # fmt: skip
def test_ngrams(text: list[int], size: int, expected: list[int]) -> None:
    assert banned(text, size) == expected


def test_ngram_block_ends_a_loop() -> None:
    class Loop(Script):
        def scores(self, hidden: Tensor) -> Tensor:
            scores = torch.zeros(VOCAB)
            scores[[1, 2, 9]] = torch.tensor([5.0, 4.0, 3.0])
            return scores

    said = tell(Loop({}), no_repeat_ngram=2, max_new_tokens=9)
    pairs = list(zip(said.ids, said.ids[1:], strict=False))
    assert len(pairs) == len(set(pairs)) and len(said.ids) > 2


class Flat(Script):
    """Seven equally likely words, then a picture."""

    def scores(self, hidden: Tensor) -> Tensor:
        scores = torch.full((VOCAB,), -50.0)
        if len(self.read_ids) == 12:
            scores[20] = 50.0
        else:
            scores[:7] = 5.0
        return scores


def test_drawing_depends_on_the_seed_alone() -> None:
    sampling = Sampling(picker=Nucleus(1.0, 1.0), suppress=-torch.inf)

    def drawn(seed: int) -> tuple[int, ...]:
        return decode(Flat({}), torch.zeros(2), MARKERS, sampling, seed).ids

    torch.manual_seed(0)
    first = drawn(5)
    torch.manual_seed(1)
    assert drawn(5) == first
    assert len({drawn(seed) for seed in range(6)}) > 1


def test_greedy_takes_no_notice_of_the_seed() -> None:
    ids = {
        decode(Flat({}), torch.zeros(2), MARKERS, Sampling(picker=Greedy()), s).ids for s in (1, 2)
    }
    assert len(ids) == 1


def test_on_tokens_hears_every_step_and_can_cancel() -> None:
    heard: list[int] = []

    def on_tokens(ids: Sequence[int]) -> None:
        heard.append(len(ids))
        if len(ids) == 2:
            raise KeyboardInterrupt

    script = Script({0: 1, 1: 2, 2: 20})
    with pytest.raises(KeyboardInterrupt):
        decode(script, torch.zeros(2), MARKERS, Sampling(), 0, on_tokens)
    assert heard == [1, 2] and script.fed == [[1]]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_scores_that_are_no_numbers_are_an_error(bad: float) -> None:
    class Broken(Script):
        def scores(self, hidden: Tensor) -> Tensor:
            return torch.full((VOCAB,), bad)

    with pytest.raises(SeedStoryError, match="not numbers"):
        tell(Broken({}))


@pytest.mark.parametrize("suppress", [0.0, -torch.inf, -3.0])
def test_every_picture_token_but_the_begin_is_suppressed(suppress: float) -> None:
    scores = torch.arange(VOCAB).float() + 1
    got = apply_rules(scores, [], MARKERS, Sampling(suppress=suppress))
    changed = {10, 11, 12, 21}
    for id in range(VOCAB):
        assert got[id] == (suppress if id in changed else scores[id])
