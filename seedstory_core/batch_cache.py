"""Which rows of one cache belong to which of several lines of reading. Knows no model, no tokens.

Stories that begin alike, as the futures of one story do, share the rows they have in common: those
are read once and kept once. So the rows form a tree, and a line is a way from its root down. All
lines read on in one pass; a mask lets every row see the rows of its own line only. A line needs no
padding: one may read a single token while another reads a whole picture.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

K = TypeVar("K", bound=Hashable)

ROOT = -1
WASTE = 4  # rows are let go of when more than one in so many belongs to no line
STEP = 256  # the table of who sees what grows by so many columns


@dataclass(frozen=True, eq=False)
class Reading(Generic[K]):
    """New rows for several lines, in an order in which each stands behind what it depends on.

    Attributes:
        keys: what each new row is made from.
        parents: the row before each in its line, `ROOT` for a line's first.
        positions: its place in its line.
        lines: for each line that reads, its new rows in order; lines that go on alike share them.
        starts: where a run of rows begins that stand behind each other, 0 the first.
    """

    keys: list[K]
    parents: list[int]
    positions: list[int]
    lines: Mapping[int, list[int]]
    starts: list[int]

    @property
    def runs(self) -> list[tuple[int, int]]:
        """Start and end of each run, counted in the new rows."""
        return list(zip(self.starts, [*self.starts[1:], len(self.keys)], strict=True))


class SharedRows(Generic[K]):
    """The rows of a cache as a tree, and the lines through it.

    Attributes:
        length: rows in the cache.
    """

    def __init__(self, lines: int) -> None:
        self._lines: list[list[int]] = [[] for _ in range(lines)]
        self._seen = torch.zeros(lines, STEP, dtype=torch.bool)  # [line, row of the cache]
        self._keys: list[K] = []
        self._parents: list[int] = []
        self._children: dict[tuple[int, K], int] = {}

    @property
    def length(self) -> int:
        return len(self._keys)

    def line(self, line: int) -> tuple[int, ...]:
        """The rows of a line, in order."""
        return tuple(self._lines[line])

    def rewind(self, line: int, keys: Sequence[K]) -> int:
        """Let a line be the longest way down the tree on which it agrees with ``keys``.

        Returns: the number of rows that it has then.
        """
        rows: list[int] = []
        for key in keys:
            row = self._children.get((rows[-1] if rows else ROOT, key))
            if row is None:
                break
            rows.append(row)
        self._lines[line] = rows
        self._seen[line] = False
        self._seen[line, rows] = True
        return len(rows)

    def plan(self, wanted: Mapping[int, Sequence[K]]) -> Reading[K]:
        """New rows that let each line read on; nothing changes yet.

        Lines that stand at the same row and go on alike share the new rows too.
        """
        made: dict[tuple[int, K], int] = {}
        keys: list[K] = []
        parents: list[int] = []
        positions: list[int] = []
        lines: dict[int, list[int]] = {}
        starts: list[int] = []
        for line, more in wanted.items():
            rows = self._lines[line]
            row, own = (rows[-1] if rows else ROOT), []
            for place, key in enumerate(more, start=len(rows)):
                before = row
                row = made.get((before, key), ROOT)
                if row == ROOT:
                    row = made[before, key] = self.length + len(keys)
                    if not keys or before != row - 1:
                        starts.append(len(keys))
                    keys.append(key)
                    parents.append(before)
                    positions.append(place)
                own.append(row)
            lines[line] = own
        return Reading(keys, parents, positions, lines, starts)

    def mask(self, reading: Reading[K], start: int, end: int) -> Tensor:
        """What the new rows from ``start`` to ``end`` may look at, themselves included.

        Returns: bool [end - start, rows in the cache + end].
        """
        seen = torch.zeros(end - start, self.length + end, dtype=torch.bool)
        for line, own in reading.lines.items():
            new = torch.tensor(own, dtype=torch.long)
            inside = new[(new >= self.length + start) & (new < self.length + end)]
            if not len(inside):
                continue
            places = (inside - self.length - start)[:, None]
            seen[places, : self.length] = self._seen[line, : self.length]
            upto = new[new <= inside[-1]]
            seen[places, upto] = upto <= inside[:, None]
        return seen

    def way(self, reading: Reading[K], start: int) -> list[int]:
        """The rows that the new row ``start`` stands behind, from its line's first on."""
        row = self.length + start
        line = next(line for line, own in reading.lines.items() if row in own)
        own = reading.lines[line]
        return self._lines[line] + own[: own.index(row)]

    def commit(self, reading: Reading[K]) -> None:
        """The new rows are in the cache; the lines have read on."""
        for at, (key, parent) in enumerate(zip(reading.keys, reading.parents, strict=True)):
            self._children.setdefault((parent, key), self.length + at)
        self._keys += reading.keys
        self._parents += reading.parents
        short = self.length - self._seen.shape[1]
        if short > 0:
            self._seen = F.pad(self._seen, (0, -(-short // STEP) * STEP))
        for line, rows in reading.lines.items():
            self._lines[line] += rows
            self._seen[line, rows] = True

    def cut(self, line: int, count: int) -> None:
        """Take the last ``count`` rows from a line."""
        kept = len(self._lines[line]) - count
        self._seen[line, self._lines[line][kept:]] = False
        del self._lines[line][kept:]

    def wasted(self) -> list[int] | None:
        """The rows that belong to a line, ascending, if so many do not that they should go."""
        used = sorted({row for rows in self._lines for row in rows})
        return used if WASTE * (self.length - len(used)) > self.length else None

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows are left in the cache, ascending, each line's among them."""
        moved = {row: at for at, row in enumerate(rows)} | {ROOT: ROOT}
        self._lines = [[moved[row] for row in line] for line in self._lines]
        self._seen = F.pad(self._seen[:, list(rows)], (0, STEP))
        self._keys = [self._keys[row] for row in rows]
        self._parents = [moved[self._parents[row]] for row in rows]
        self._children = {}
        for row, (key, parent) in enumerate(zip(self._keys, self._parents, strict=True)):
            self._children.setdefault((parent, key), row)
