"""Stories as token ids, and the windows of them that the LLM is trained on.

Every caption is cut into tokens once; a window is then a few slices put together. The ids are those
of `prompt.Trained` for the same panels (a tokenizer cuts text beside added tokens independently),
which is checked when the scripts are made.

In a window of several responses each panel stands twice: in the story as later panels read it, its
picture's rows made from features, and as an answer, the rows of bare image tokens that the model
reads when it tells the panel itself. An answer sees the story up to its own ``<img>`` and itself;
nobody sees an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange, repeat
from torch import Tensor

from ..context import Dense
from ..engines.seed_story.prompt import TURN, Trained, Vocabulary
from ..errors import SeedStoryError
from .data import Stories

IGNORE = -100


@dataclass(frozen=True)
class Window:
    """Panels ``first`` to ``end`` (exclusive) of a split, numbered through all its stories.

    Attributes:
        closes: the story ends here, and the model shall say so.
        only_last: the last panel alone is a response, as in the reference; else all but the first.
    """

    first: int
    end: int
    closes: bool
    only_last: bool = False


class Scripts:
    """The ids of all panels of a split."""

    def __init__(self, words: Vocabulary, stories: Stories) -> None:
        self.words, self.starts = words, stories.starts
        self.slots = len(words.slots)
        self._span = np.array([words.begin, *words.slots, words.end], np.int64)
        known: dict[str, list[int]] = {}
        self._opens, self._open_at = self._cut(known, stories.captions, "")
        self._turns, self._turn_at = self._cut(known, stories.captions, TURN)
        self._silent = np.zeros(len(words.tokenizer), bool)
        self._silent[[*words.slots, words.end]] = True
        self._check(stories)

    def _cut(
        self, known: dict[str, list[int]], captions: Sequence[str], before: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all captions and their pictures' spans, and where each begins."""
        parts, at = [], [0]
        for caption in captions:
            text = before + caption
            if text not in known:
                known[text] = self.words.tokenizer.encode(text)
            parts += [np.array(known[text], np.int64), self._span]
            at.append(at[-1] + len(known[text]) + len(self._span))
        return np.concatenate(parts), np.array(at)

    def _check(self, stories: Stories) -> None:
        """Refuse captions that the engine would cut in another way than we did."""
        for number in range(min(3, len(stories.tales))):
            first, end = self.starts[number], self.starts[number + 1]
            texts = stories.captions[first:end]
            prompt = Trained().prompt(self.words, texts, Dense(), None)
            if list(prompt.ids) != self.ids(first, end).tolist():
                raise SeedStoryError(
                    f"The captions of story {stories.tales[number].id!r} are not cut into tokens "
                    "as in a prompt. Take <img> and [INST] out of the captions."
                )

    def ids(self, first: int, end: int) -> np.ndarray:
        """The prompt of panels ``first`` to ``end`` with all their pictures' spans, int64 [L]."""
        opening = self._opens[self._open_at[first] : self._open_at[first + 1]]
        rest = self._turns[self._turn_at[first + 1] : self._turn_at[end]]
        return np.concatenate([[self.words.bos], opening, rest])

    def length(self, window: Window) -> int:
        """Rows of the window's story, without its answers."""
        opening = self._open_at[window.first + 1] - self._open_at[window.first]
        return int(1 + opening + self._turn_at[window.end] - self._turn_at[window.first + 1])

    def supervised(self, ids: np.ndarray, begin: int) -> np.ndarray:
        """Where ``ids`` from ``begin`` on are to be said by the model: no image tokens, no end."""
        return np.flatnonzero(~self._silent[ids[begin:]]) + begin

    def opening_length(self, first: int) -> int:
        """Rows of BOS and the first panel."""
        return int(1 + self._open_at[first + 1] - self._open_at[first])


@dataclass(frozen=True)
class _Laid:
    """One window laid out.

    Attributes:
        ids: of the story's rows. ``filled``: rows made from features, ``pictures``: whose.
        said: rows whose next token is to be said, ``labels``: that token.
        answers: for each answer the row of its ``<img>``, ``targets``: its panel. Answers stand
            behind the story, or within it where ``inside``.
    """

    ids: np.ndarray
    filled: np.ndarray
    pictures: np.ndarray
    said: np.ndarray
    labels: np.ndarray
    answers: np.ndarray
    targets: np.ndarray
    inside: bool


def lay_out(scripts: Scripts, window: Window) -> _Laid:
    """A window's rows; see `Window`."""
    words, slots = scripts.words, scripts.slots
    ids = scripts.ids(window.first, window.end)
    begins = np.flatnonzero(ids == words.begin)
    responses = begins[-1:] if window.only_last else begins[1:]
    before = begins[-2] + slots + 2 if window.only_last else scripts.opening_length(window.first)
    last = len(ids) - 1
    said = scripts.supervised(ids, before)
    labels = ids[said]
    said = said - 1
    if window.closes:
        said, labels = np.append(said, last), np.append(labels, words.eos)
    filled = begins[:-1] if window.only_last else begins
    if not window.only_last and not window.closes:
        ids, filled = ids[: begins[-1] + 1], begins[:-1]  # nobody reads the last picture
    return _Laid(
        ids=ids,
        filled=np.add.outer(filled + 1, np.arange(slots)).reshape(-1),  # [n, slots] -> rows
        pictures=np.arange(window.first, window.first + len(filled)),
        said=said,
        labels=labels,
        answers=responses,
        targets=np.arange(window.end - len(responses), window.end),
        inside=window.only_last,
    )


def collate(scripts: Scripts, windows: Sequence[Window]) -> dict[str, Tensor]:
    """Windows as one batch; rows are numbered through ``ids`` flattened.

    Returns: int64 ``ids``, ``positions`` [B, T]; ``see`` bool [B, 1, T, T], what each row looks at;
        ``filled`` [F] rows that take the rows of ``pictures`` [S] (panels); ``said`` [M] rows and
        their ``labels`` [M]; ``answers`` [R, n] rows and ``targets`` [R] (panels); ``told`` [S],
        which answer is the same window's own telling of a picture, -1 if none.
    """
    laid = [lay_out(scripts, window) for window in windows]
    n, batch = scripts.slots, len(laid)
    story = max(len(one.ids) for one in laid)
    most = max(0 if one.inside else len(one.answers) for one in laid)
    total = story + most * n
    ids = np.zeros((batch, total), np.int64)
    positions = np.zeros((batch, total), np.int64)
    positions[:, :story] = np.arange(story)
    limits = positions.copy()  # the last row of the story that a row sees
    answers = []
    span = np.array(scripts.words.slots)
    for number, one in enumerate(laid):
        ids[number, : len(one.ids)] = one.ids
        base = number * total
        if one.inside:
            answers.append(np.add.outer(one.answers + 1, np.arange(n)) + base)
            continue
        count = len(one.answers)
        rows = slice(story, story + count * n)
        ids[number, rows] = np.tile(span, count)
        positions[number, rows] = np.add.outer(one.answers + 1, np.arange(n)).reshape(-1)
        limits[number, rows] = one.answers.repeat(n)
        answers.append(np.arange(story, story + count * n).reshape(count, n) + base)
    offsets = range(0, batch * total, total)
    return {
        "ids": torch.from_numpy(ids),
        "positions": torch.from_numpy(positions),
        "see": sight(torch.from_numpy(limits), story, n),
        "filled": _joined([one.filled + at for one, at in zip(laid, offsets, strict=True)]),
        "pictures": _joined([one.pictures for one in laid]),
        "said": _joined([one.said + at for one, at in zip(laid, offsets, strict=True)]),
        "labels": _joined([one.labels for one in laid]),
        "answers": _joined(answers),
        "targets": _joined([one.targets for one in laid]),
        "told": _joined(_own_tellings(laid)),
    }


def _own_tellings(laid: Sequence[_Laid]) -> list[np.ndarray]:
    """For the pictures of each window: the number of the answer that tells it, or -1; int64."""
    before, found = 0, []
    for one in laid:
        at = one.pictures - (one.targets[0] if len(one.targets) else 0)
        inside = (at >= 0) & (at < len(one.targets))
        found.append(np.where(inside, at + before, -1).astype(np.int64))
        before += len(one.targets)
    return found


def sight(limits: Tensor, story: int, answer: int) -> Tensor:
    """What each row sees.

    Args:
        limits: [B, T], the last row of the story that each row sees.
        story: rows of the story; the rest are answers of ``answer`` rows each.

    Returns: bool [B, 1, T, T].
    """
    batch, total = limits.shape
    see = torch.zeros(batch, total, total, dtype=torch.bool)
    see[:, :, :story] = torch.arange(story) <= rearrange(limits, "b t -> b t 1")
    if total > story:
        behind = torch.arange(total - story)
        own = behind[:, None] // answer == behind[None] // answer
        see[:, story:, story:] = own & (behind[None] <= behind[:, None])
    return repeat(see, "b t u -> b 1 t u")


def _joined(parts: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts))
