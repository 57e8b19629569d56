"""Whole stories read as a sink reads them: panel by panel, with rows leaving on the way.

A window of panels read at once shows the LLM neither a cache longer than the window nor rows whose
neighbours have left, and an LLM that never met them tells worse the longer a story grows. Here a
story is read in the steps of `engines.seed_story.reader`: rows leave when the policy says so, the
others take their new positions, and each panel is answered from the cache as it then is. Gradients
flow through the rows that stay, so the model also learns what to leave in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from einops import rearrange, repeat
from torch import Tensor

from ..context import MultimodalSink, Span
from ..engines.seed_story.config import LlmConfig
from ..engines.seed_story.llama import rotary, rotate
from ..engines.seed_story.mllm import Mllm
from ..errors import SeedStoryError
from .recipe import StageSettings
from .windows import IGNORE, Scripts

SINK = "sink_"  # what the tensors of such a batch are named with
SORTED = 8  # so many times as many stories are sorted by length as one batch has
SMALLER = 0.5  # share of batches with a sink smaller than the usual one


@dataclass(frozen=True)
class Step:
    """What is read for one panel: the picture before it, ``</img>``, the caption, ``<img>``.

    Attributes:
        ids: int64 [c]. ``labels``: the token each row is to say, or `windows.IGNORE`.
        kept: rows of the cache so far that stay, ascending, [m].
        places: their positions now, [m]. ``first``: the position of the first new row.
    """

    ids: np.ndarray
    labels: np.ndarray
    kept: np.ndarray
    places: np.ndarray
    first: int


def steps_of(scripts: Scripts, first: int, panels: int, policy: MultimodalSink) -> list[Step]:
    """The steps in which ``panels`` panels from ``first``, a story's opening, are read and told."""
    ids, slots = scripts.ids(first, first + panels), scripts.slots
    begins = np.flatnonzero(ids == scripts.words.begin)
    pictures = [Span(int(begin), int(begin) + slots + 1) for begin in begins]
    held: list[int] = []
    steps, start = [], 0
    for number, begin in enumerate(begins):
        kept = list(range(len(held)))
        if number > policy.window:
            kept = policy.kept(held, pictures, start)
        held = [held[index] for index in kept]
        chunk = ids[start : begin + 1]
        labels = np.full(len(chunk), IGNORE, np.int64)
        if number:
            labels[slots:-1] = chunk[slots + 1 :]
        places = np.arange(len(held)) if policy.reindexes else np.array(held, np.int64)
        new = len(held) if policy.reindexes else start
        steps.append(Step(chunk, labels, np.array(kept, np.int64), places, new))
        held += range(start, int(begin) + 1)
        start = int(begin) + 1
    return steps


def collate_sinks(scripts: Scripts, stories: Sequence[Sequence[Step]]) -> dict[str, Tensor]:
    """Stories of P steps each as one batch.

    Returns: int64 ``sink_ids`` and ``sink_labels`` [P, B, C]; ``sink_rows`` [P, B], how many of C
        they are; ``sink_kept`` and ``sink_places`` [P, B, M], of which ``sink_count`` [P, B] are
        meant; ``sink_first`` [P, B]; ``sink_span`` [n], the image tokens. Rows to keep are counted
        in a cache whose stories are padded as these are.
    """
    shape = len(stories[0]), len(stories)
    width = max(len(step.ids) for story in stories for step in story)
    most = max(1, *(len(step.kept) for story in stories for step in story))
    ids, labels = np.zeros((*shape, width), np.int64), np.full((*shape, width), IGNORE, np.int64)
    kept, places = np.zeros((*shape, most), np.int64), np.zeros((*shape, most), np.int64)
    rows, count, first = (np.zeros(shape, np.int64) for _ in range(3))
    for b, story in enumerate(stories):
        for p, step in enumerate(story):
            c, m = len(step.ids), len(step.kept)
            ids[p, b, :c], labels[p, b, :c] = step.ids, step.labels
            before = len(story[p - 1].kept) if p else 0
            padded = _held_by_all(stories, p - 1) if p else 0
            kept[p, b, :m] = np.where(step.kept < before, step.kept, step.kept - before + padded)
            places[p, b, :m] = step.places
            rows[p, b], count[p, b], first[p, b] = c, m, step.first
    named = {"ids": ids, "labels": labels, "kept": kept, "places": places, "rows": rows}
    named |= {"count": count, "first": first, "span": np.array(scripts.words.slots, np.int64)}
    return {SINK + name: torch.from_numpy(value) for name, value in named.items()}


def _held_by_all(stories: Sequence[Sequence[Step]], number: int) -> int:
    """Rows of the padded cache at a step, before that step's own."""
    return max(len(story[number].kept) for story in stories)


class Memory:
    """A cache with gradients: rows of several stories, plain keys and values, padded alike."""

    def __init__(self, config: LlmConfig) -> None:
        self.length = 0
        self._config = config
        self._plain: list[Tensor | None] = [None] * config.layers
        self._values: list[Tensor | None] = [None] * config.layers
        self._turn: tuple[Tensor, Tensor] | None = None
        self._new = 0

    def keep(self, kept: Tensor, places: Tensor, new: int, dtype: torch.dtype) -> None:
        """Keep rows ``kept`` [B, M] at positions ``places``; of those to come the first ``new``."""
        self._new, self.length = new, kept.shape[1]
        if not self.length:
            return
        for rows in (self._plain, self._values):
            rows[:] = [_picked(row, kept) if row is not None else None for row in rows]
        self._turn = turns(places, self._config, dtype)

    def append(
        self, layer: int, keys: Tensor, values: Tensor, plain: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `llama.Cache.append`; rows behind the first ``new`` are forgotten."""
        old, old_values = self._plain[layer], self._values[layer]
        new = plain[:, :, : self._new], values[:, :, : self._new]
        if old is None or old_values is None or self._turn is None:
            self._plain[layer], self._values[layer] = new
            return keys, values
        self._plain[layer] = torch.cat((old, new[0]), 2)
        self._values[layer] = torch.cat((old_values, new[1]), 2)
        return torch.cat((rotate(old, *self._turn), keys), 2), torch.cat((old_values, values), 2)

    def advance(self, rows: int) -> None:
        """Nothing to count: `keep` says what is held."""


def turns(positions: Tensor, config: LlmConfig, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Positions [B, L] -> cosines and sines [B, 1, L, D]."""
    cos, sin = rotary(positions.flatten(), config, dtype)
    return tuple(  # pyright: ignore[reportReturnType]
        rearrange(part, "(b l) d -> b 1 l d", b=len(positions)) for part in (cos, sin)
    )


def _picked(rows: Tensor, kept: Tensor) -> Tensor:
    """Rows ``kept`` [B, M] of [B, H, L, D]."""
    index = repeat(kept, "b m -> b h m d", h=rows.shape[1], d=rows.shape[3])
    return rows.gather(2, index)


def sink_sight(count: Tensor, rows: Tensor, past: int, width: int, answer: int) -> Tensor:
    """What each row of a step sees: the rows that stay, its story up to itself, its own answer.

    Args:
        count, rows: [B], kept rows and new rows that are meant, of ``past`` and ``width``.

    Returns: bool [B, 1, width + answer, past + width + answer].
    """
    total = width + answer
    see = torch.ones(total, total, dtype=torch.bool, device=rows.device).tril()
    see = repeat(see, "t u -> b t u", b=len(rows)).clone()
    see[:, width:, :width] = rearrange(
        torch.arange(width, device=rows.device) < rows[:, None], "b u -> b 1 u"
    )
    held = torch.arange(past, device=rows.device) < count[:, None]
    return rearrange(torch.cat((repeat(held, "b m -> b t m", t=total), see), 2), "b t u -> b 1 t u")


@dataclass(frozen=True)
class WholeStories:
    """Some stories from their openings, read as far as the shortest of them goes.

    Attributes:
        first: their first panels' numbers. ``panels``: how many of each.
        policy: which rows leave.
    """

    first: tuple[int, ...]
    panels: int
    policy: MultimodalSink

    def part(self, rank: int, size: int) -> WholeStories:
        """Every ``size``-th of them.

        Raises:
            SeedStoryError: the stories cannot be shared equally.
        """
        if len(self.first) % size:
            raise SeedStoryError(
                f"{len(self.first)} whole stories cannot be shared by {size} processes and "
                "accumulated parts. Set the option sink_stories of the LLM's stage to a multiple."
            )
        return replace(self, first=self.first[rank::size])

    def batch(self, scripts: Scripts) -> dict[str, Tensor]:
        """`collate_sinks`, with ``pictures`` [P - 1, B] and ``targets`` [(P - 1) * B], panels."""
        steps = [steps_of(scripts, first, self.panels, self.policy) for first in self.first]
        panels = torch.arange(self.panels - 1)[:, None] + torch.tensor(self.first)
        read = {"pictures": panels, "targets": (panels + 1).flatten()}
        return {**collate_sinks(scripts, steps), **read}


def draw_stories(
    starts: Sequence[int], settings: StageSettings, draw: torch.Generator
) -> WholeStories:
    """Random stories of like length, and a random sink: the usual one, or a smaller one, under
    which a short story too goes on for long."""
    count = int(settings.option("sink_stories", settings.batch))
    sizes = np.diff(np.array(starts))
    chosen = torch.randperm(len(sizes), generator=draw)[: SORTED * count].numpy()
    chosen = chosen[np.argsort(sizes[chosen], kind="stable")]
    count = min(count, len(chosen))
    at = int(torch.randint(len(chosen) - count + 1, (), generator=draw))
    some = chosen[at : at + count]
    usual, window, cap = torch.rand(3, generator=draw).tolist()
    policy = MultimodalSink()
    if usual < SMALLER:
        policy = replace(
            policy, window=2 + int(window * (policy.window - 1)), cap=int(cap * (policy.cap + 1))
        )
    return WholeStories(tuple(int(starts[one]) for one in some), int(sizes[some].min()), policy)


@dataclass(frozen=True)
class Told:
    """Hidden states [M, D] of rows that say ``labels`` [M]; pictures [R, L, D] told."""

    hidden: Tensor
    labels: Tensor
    pictures: Tensor


def tell_stories(mllm: Mllm, batch: Mapping[str, Tensor]) -> Told:
    """Read and answer all panels of a batch of `collate_sinks`.

    Args:
        batch: with ``pictures`` [P - 1, B, L, D] to be read, and, optional, ``fed`` [P - 1, B],
            which of them are to be what the model told in their place.

    Returns: answers in order of panels, then stories; of first panels there are none.
    """
    some = {name.removeprefix(SINK): value for name, value in batch.items()}
    memory = Memory(mllm.model.config)
    hidden, pictures = [], []
    for number in range(len(some["ids"])):
        read = some["pictures"][number - 1] if number else None
        if read is not None and number > 1 and "fed" in some:
            own = rearrange(some["fed"][number - 1], "b -> b 1 1")
            read = torch.where(own, pictures[-1].detach().to(read.dtype), read)
        rows = _read_step(mllm, some, number, read, memory)
        width = int(some["rows"][number].max())
        said = some["labels"][number, :, :width] != IGNORE
        hidden.append(rows[:, :width][said])
        if number:
            pictures.append(mllm.output_resampler(rows[:, width:]))
    labels = some["labels"]
    return Told(torch.cat(hidden), labels[labels != IGNORE], torch.cat(pictures))


def _read_step(
    mllm: Mllm, some: Mapping[str, Tensor], number: int, read: Tensor | None, memory: Memory
) -> Tensor:
    """Hidden states [B, C + n, D] of one step and of its answer."""
    count, rows, first = (some[name][number] for name in ("count", "rows", "first"))
    past, width = int(count.max()), int(rows.max())
    span = some["span"]
    ids = torch.cat((some["ids"][number, :, :width], repeat(span, "n -> b n", b=len(rows))), 1)
    x = mllm.model.embed_tokens(ids)
    if read is not None:
        own = mllm.input_resampler(read).to(x.dtype)
        x = torch.cat((own, x[:, own.shape[1] :]), 1)
    new = torch.arange(width, device=ids.device) + first[:, None]
    answers = torch.arange(len(span), device=ids.device) + (first + rows)[:, None]
    turn = turns(torch.cat((new, answers), 1), mllm.model.config, x.dtype)
    memory.keep(some["kept"][number, :, :past], some["places"][number, :, :past], width, x.dtype)
    see = sink_sight(count, rows, past, width, len(span))
    for layer in mllm.model.layers:
        x = layer(x, turn, see, memory)
    return mllm.model.norm(x)
