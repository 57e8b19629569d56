"""The decode loop: which token comes next, and how a picture's span is said at once.

Knows no tokenizer and no model class. A picture is ``begin, slot 0 .. slot n-1, end``; once begun
it is forced to its end, so it is fed to the model in one pass instead of n + 2.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from .errors import SeedStoryError
from .repeats import NOTHING, Earlier
from .sampling import Greedy, Sampling

T = TypeVar("T")


@dataclass(frozen=True)
class Markers:
    """Ids of the tokens with a meaning: picture begin and end, its slots in order, end of text."""

    begin: int
    end: int
    slots: tuple[int, ...]
    eos: int

    def followers(self, token: int) -> tuple[int, ...]:
        """What must follow ``token``: after the begin, or any slot, the picture's rest.

        A slot that wins by accident forces its successors too (generation.py:22-26).
        """
        if token == self.begin:
            return (*self.slots, self.end)
        if token in self.slots:
            return (*self.slots[self.slots.index(token) + 1 :], self.end)
        return ()

    @property
    def picture(self) -> frozenset[int]:
        """All ids that are not text, EOS aside."""
        return frozenset((self.begin, self.end, *self.slots))


class Speaker(Protocol):
    """A language model that has read its prompt and keeps what it reads."""

    def read(self, ids: Sequence[int]) -> Tensor:
        """Read on: hidden states [len(ids), D] of these rows."""
        ...

    def scores(self, hidden: Tensor) -> Tensor:
        """Hidden state [D] of the last row -> next-token scores [V], fp32 on the CPU."""
        ...


class Read(NamedTuple):
    """What a saying wants to be read next; it is sent the hidden states [len(keys), D].

    ``keys`` are token ids, or whatever else a reader takes rows from.
    """

    keys: Sequence[Any]


class Score(NamedTuple):
    """A hidden state [D] of which a saying wants the scores; it is sent them, [V]."""

    hidden: Tensor


@dataclass(frozen=True)
class Decoded:
    """What was said.

    Attributes:
        ids: generated ids in order, a final EOS included.
        hidden: [k, D], hidden states of the first k ids (the last ones may not have been read).
    """

    ids: tuple[int, ...]
    hidden: Tensor


def decode(
    speaker: Speaker,
    hidden: Tensor,
    markers: Markers,
    sampling: Sampling,
    seed: int = 0,
    on_tokens: Callable[[Sequence[int]], None] = lambda ids: None,
    earlier: Earlier = NOTHING,
    given: Sequence[int] = (),
) -> Decoded:
    """Say one panel with ``speaker``, the model behind its prompt; the rest is as of `saying`."""
    return answered(saying(hidden, markers, sampling, seed, on_tokens, earlier, given), speaker)


def answered(asking: Generator[Read | Score, Tensor, T], speaker: Speaker) -> T:
    """What ``asking`` returns when ``speaker`` answers it."""
    try:
        ask = next(asking)
        while True:
            if isinstance(ask, Read):
                ask = asking.send(speaker.read(ask.keys))
            else:
                ask = asking.send(speaker.scores(ask.hidden))
    except StopIteration as end:
        return end.value


def saying(
    hidden: Tensor,
    markers: Markers,
    sampling: Sampling,
    seed: int = 0,
    on_tokens: Callable[[Sequence[int]], None] = lambda ids: None,
    earlier: Earlier = NOTHING,
    given: Sequence[int] = (),
) -> Generator[Read | Score, Tensor, Decoded]:
    """Say one panel, asking for what only a model can do: so several can share one.

    Args:
        hidden: [D], hidden state of the prompt's last row.
        seed: of the drawing, used by pickers that draw.
        on_tokens: called with all ids so far before each reading; may raise to cancel.
        earlier: captions of the story that may not come again.
        given: ids of the panel that the prompt ends with; said already, as far as rules go.

    Raises:
        SeedStoryError: the model's scores are not numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    ids: list[int] = []
    rows = [hidden[None][:0]]
    while len(ids) < sampling.max_new_tokens:
        scores = yield Score(hidden)
        token = _next(scores, [*given, *ids], markers, sampling, generator, earlier)
        run = (token, *markers.followers(token))[: sampling.max_new_tokens - len(ids)]
        ids += run
        on_tokens(ids)
        if token == markers.eos:
            break
        finished = len(ids) == sampling.max_new_tokens or (
            sampling.stop_at_image and ids[-1] == markers.end and picture_at(ids, markers) >= 0
        )
        if finished:  # nothing is said behind the last token; only a picture's rows are wanted
            if token != ids[-1] == markers.end:
                rows.append((yield Read(run[:-1])))
            break
        rows.append((yield Read(run)))
        hidden = rows[-1][-1]
    return Decoded(tuple(ids), torch.cat(rows))


def begins_picture(
    scores: Tensor, caption: Sequence[int], markers: Markers, sampling: Sampling
) -> bool:
    """Whether the likeliest token behind a whole ``caption`` begins its picture.

    Args:
        scores: [V], of the token behind it.
    """
    likeliest = replace(sampling, picker=Greedy())
    token = _next(scores, caption, markers, likeliest, torch.Generator(), NOTHING)
    return token == markers.begin


def picture_at(ids: Sequence[int], markers: Markers) -> int:
    """Index of the ``end`` that closes the last whole picture in ``ids``, or -1."""
    count = len(markers.slots)
    for index in range(len(ids) - 1, count - 1, -1):
        if ids[index] == markers.end and tuple(ids[index - count : index]) == markers.slots:
            return index
    return -1


def picture_rows(decoded: Decoded, markers: Markers, blind: bool = False) -> Tensor | None:
    """Hidden states of the last picture's slots, [n, D], or None where there is no picture.

    With ``blind`` the n rows before the last ``end`` count as the picture, whatever was said there,
    as in the reference (models.py:195-198); fewer than n, which crash it, are no picture.
    """
    index = picture_at(decoded.ids, markers)
    if blind:
        ends = [i for i, token in enumerate(decoded.ids) if token == markers.end]
        index = ends[-1] if ends else -1
    start = index - len(markers.slots)
    return decoded.hidden[start:index] if start >= 0 else None


def _next(
    scores: Tensor,
    ids: Sequence[int],
    markers: Markers,
    sampling: Sampling,
    generator: torch.Generator,
    earlier: Earlier,
) -> int:
    """The next token where none is forced by a picture."""
    text = [token for token in ids if token not in markers.picture]
    begun = len(text) < len(ids)
    if sampling.max_caption_tokens and not begun and len(text) >= sampling.max_caption_tokens:
        return markers.begin
    if not scores.isfinite().all():
        raise SeedStoryError(
            "The model's scores are not numbers (NaN or infinite): damaged weights, or a precision "
            "too small for them. Try bf16 or fp32, or check the files: python -m seedstory_core "
            "doctor"
        )
    scores = apply_rules(scores, text, markers, sampling)
    bans = earlier.repeating(text)
    if not begun and earlier.complete(text):
        bans |= {markers.begin, markers.eos}
    return sampling.picker.pick(ban(scores, bans, markers), generator)


def apply_rules(
    scores: Tensor, text: Sequence[int], markers: Markers, sampling: Sampling
) -> Tensor:
    """Scores [V] after the rules that hold outside pictures, in the order the reference's
    generation library applies them; ``text`` is the caption so far."""
    scores = scores.clone()
    if sampling.repetition_penalty != 1 and text:
        said = torch.tensor(sorted(set(text)))
        old = scores[said]
        factor = sampling.repetition_penalty
        scores[said] = torch.where(old < 0, old * factor, old / factor)
    scores[banned(text, sampling.no_repeat_ngram)] = -torch.inf
    scores[[*markers.slots, markers.end]] = sampling.suppress
    return scores


def ban(scores: Tensor, bans: Collection[int], markers: Markers) -> Tensor:
    """Scores [V] without ``bans``, unless that leaves none.

    Where anything is banned, picture tokens outside a picture are: the 0.0 of `Sampling.suppress`
    would win over the negative scores that may be left, and end the caption all the same.
    """
    if not bans:
        return scores
    kept = scores.clone()
    kept[[*bans, *markers.slots, markers.end]] = -torch.inf
    return scores if kept.max() == -torch.inf else kept


def banned(text: Sequence[int], size: int) -> list[int]:
    """Tokens that would say ``size`` tokens in a row a second time.

    >>> banned([5, 6, 7, 5, 6], 3)
    [7]
    """
    if size < 1 or len(text) < size:
        return []
    tail = tuple(text[len(text) - size + 1 :])
    starts = range(len(text) - size + 1)
    return sorted({text[i + size - 1] for i in starts if tuple(text[i : i + size - 1]) == tail})
