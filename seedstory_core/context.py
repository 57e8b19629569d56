"""Context policies: what the next panel reads of a story. Small frozen classes, no flags.

A policy is part of a story's meaning (another policy tells another story), so it is recorded in
every told panel. `Dense`, `Window` and `Block` choose whole panels, and what is no longer in view
is gone: the prompt is written and read anew. `MultimodalSink` reads the whole story once and lets
go of rows in the middle of it; the rows it keeps remember what has left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from .errors import SeedStoryError
from .strict_json import like_defaults, shown

REINDEXED, ORIGINAL = "reindexed", "original"


class Span(NamedTuple):
    """Where a picture lies: the rows of its ``<img>`` and ``</img>``, counted in the prompt."""

    begin: int
    end: int


class ContextPolicy(Protocol):
    """What of a story is in view."""

    @property
    def reindexes(self) -> bool:
        """Whether rows that stay take new positions, counted in the cache, when others leave."""
        ...

    def first_visible(self, panels: int) -> int:
        """Index of the oldest panel that the prompt has when ``panels`` panels are told."""
        ...

    def evicts_before(self, pictures: Sequence[Span]) -> Sequence[int]:
        """Rows of the prompt before which rows leave, ascending; empty where none ever do."""
        ...

    def kept(self, held: Sequence[int], pictures: Sequence[Span], row: int) -> list[int]:
        """Which rows of the cache stay when it is about to read ``row`` of the prompt.

        Args:
            held: for each row of the cache, which row of the prompt it is; ascending.
            pictures: of the prompt.
            row: one of `evicts_before`.

        Returns: indices into ``held``, ascending: cache coordinates.
        """
        ...

    def in_view(self, pictures: Sequence[Span], rows: int) -> int:
        """Rows of the cache when it has read a prompt of ``rows`` rows."""
        ...

    def most_rows(self, panel_rows: int) -> int | None:
        """The most rows ever held while panels of ``panel_rows`` follow each other; None: no
        limit."""
        ...


class _WholePanels:
    """Policies whose prompt has the panels in view and nothing else, so that no row leaves."""

    reindexes = False

    def evicts_before(self, pictures: Sequence[Span]) -> Sequence[int]:
        return ()

    def kept(self, held: Sequence[int], pictures: Sequence[Span], row: int) -> list[int]:
        return list(range(len(held)))

    def in_view(self, pictures: Sequence[Span], rows: int) -> int:
        return rows


@dataclass(frozen=True)
class Dense(_WholePanels):
    """Every panel stays in view; cost and memory grow with the story."""

    def first_visible(self, panels: int) -> int:
        return 0

    def most_rows(self, panel_rows: int) -> int | None:
        return None


@dataclass(frozen=True)
class Window(_WholePanels):
    """The newest ``size`` panels are in view, as in gen_george.py (window_size = 8)."""

    size: int = 8

    def __post_init__(self) -> None:
        _at_least(1, "A window's size, in panels,", self.size)

    def first_visible(self, panels: int) -> int:
        return max(0, panels - self.size)

    def most_rows(self, panel_rows: int) -> int | None:
        return 1 + (self.size + 1) * panel_rows  # BOS, the panels in view and the one being told


@dataclass(frozen=True)
class Block(_WholePanels):
    """At most ``size`` panels are in view; when they are full, the oldest ``step`` leave at once.

    The prompt is read anew once in ``step`` panels, not once a panel; in between it only grows.
    """

    size: int = 8
    step: int = 4

    def __post_init__(self) -> None:
        _at_least(1, "A block's step, in panels,", self.step)
        _at_least(self.step, "A block's size, in panels and not below its step,", self.size)

    def first_visible(self, panels: int) -> int:
        return max(0, -(-(panels - self.size) // self.step)) * self.step

    def most_rows(self, panel_rows: int) -> int | None:
        return 1 + (self.size + 1) * panel_rows


@dataclass(frozen=True)
class MultimodalSink:
    """The paper's multimodal attention sink: a window, and the rows that draw the attention.

    The newest ``window`` panels are in view whole. Of an older one stay the rows around its
    ``<img>`` and its ``</img>``; of the story's beginning, the first rows. The row counts are
    those of vis_george_sink.py:243-290, where each picture leaves the slices [b - 4, b + 8) and
    [e - 8, e + 4) (with Llama's tokens the three rows behind ``</img>`` are ``[INST]``). A slice
    takes what the cache still holds there, of the neighbouring panel too, and no row twice.

    Attributes:
        window: panels in view whole.
        first: rows at the story's beginning that never leave, BOS the first of them.
        before_begin, from_begin: rows before an evicted panel's ``<img>``, and from it on.
        before_end, from_end: rows before its ``</img>``, and from it on.
        cap: evicted panels of which rows stay; the oldest leave first, so that memory is constant
            for ever. 0 keeps the first rows and the window, as StreamingLLM does.
        positions: ``reindexed`` counts the rows in the cache, so that positions never grow beyond
            it; ``original`` lets every row keep its place in the story. The paper does not say
            which it used.
    """

    window: int = 8
    first: int = 4
    before_begin: int = 4
    from_begin: int = 8
    before_end: int = 8
    from_end: int = 4
    cap: int = 16
    positions: str = REINDEXED

    def __post_init__(self) -> None:
        _at_least(1, "A sink's window, in panels,", self.window)
        _at_least(1, "A sink's first rows (BOS always stays)", self.first)
        around = (self.before_begin, self.from_begin, self.before_end, self.from_end)
        _at_least(0, "A sink's rows around a picture's begin and end", min(around))
        _at_least(0, "A sink's cap, in panels,", self.cap)
        if self.positions not in (REINDEXED, ORIGINAL):
            raise SeedStoryError(
                f"A sink's positions are {REINDEXED!r} or {ORIGINAL!r}, got {self.positions!r}."
            )

    @property
    def reindexes(self) -> bool:
        return self.positions == REINDEXED

    def first_visible(self, panels: int) -> int:
        return 0

    def evicts_before(self, pictures: Sequence[Span]) -> Sequence[int]:
        """With the next panel a told picture's slots are read; what is too old by then leaves
        before they are."""
        return [picture.begin + 1 for picture in pictures[self.window :]]

    def kept(self, held: Sequence[int], pictures: Sequence[Span], row: int) -> list[int]:
        stay, live = self._stays(pictures, row)
        return [index for index, place in enumerate(held) if place >= live or place in stay]

    def in_view(self, pictures: Sequence[Span], rows: int) -> int:
        evictions = self.evicts_before(pictures)
        if not evictions:
            return rows
        stay, live = self._stays(pictures, evictions[-1])
        return sum(place < live for place in stay) + rows - live

    def _stays(self, pictures: Sequence[Span], row: int) -> tuple[set[int], int]:
        """Rows that stay when ``row`` is about to be read: single ones, and all from which on."""
        evicted = sum(picture.begin < row for picture in pictures) - self.window
        stay = set(range(self.first))
        for begin, end in pictures[max(0, evicted - self.cap) : evicted]:
            stay.update(range(max(0, begin - self.before_begin), begin + self.from_begin))
            stay.update(range(max(0, end - self.before_end), end + self.from_end))
        return stay, pictures[evicted - 1].end + 1

    def most_rows(self, panel_rows: int) -> int | None:
        around = self.before_begin + self.from_begin + self.before_end + self.from_end
        sinks = self.cap * min(around, panel_rows)
        return self.first + sinks + (self.window + 1) * panel_rows


def context_rows(policy: ContextPolicy, panel_rows: int, panels: int | None = None) -> int | None:
    """The most rows a cache ever holds under ``policy``, the panel being told included.

    Args:
        panel_rows: rows of the longest panel: its caption, and its picture's slots plus two.
        panels: of the whole story, where they are known.

    Returns: a number of rows, or None where it grows with a story of unknown length.

    >>> context_rows(Window(8), 116), context_rows(Window(8), 116, panels=3)
    (1045, 349)
    """
    whole = None if panels is None else 1 + panels * panel_rows
    known = [rows for rows in (policy.most_rows(panel_rows), whole) if rows is not None]
    return min(known, default=None)


#: How `named` spells policies: a name, then values for these fields.
WORDS: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "dense": (Dense, ()),
    "window": (Window, ("size",)),
    "block": (Block, ("size", "step")),
    "sink": (MultimodalSink, ("window", "cap", "positions")),
}
SPELLINGS = "dense, window[:SIZE], block[:SIZE[:STEP]] or sink[:WINDOW[:CAP[:original]]]"


def named(text: str) -> ContextPolicy:
    """A policy by the name it has on the command line.

    Raises:
        SeedStoryError: no such policy, or impossible numbers.

    >>> named("window"), named("block:6:2")
    (Window(size=8), Block(size=6, step=2))
    """
    name, *values = text.strip().lower().split(":")
    kind, fields = WORDS.get(name, (None, ()))
    wrong = SeedStoryError(f"A context policy is {SPELLINGS}, got {text!r}.")
    if kind is None or len(values) > len(fields):
        raise wrong
    given: dict[str, Any] = dict(zip(fields, values, strict=False))
    for field in given.keys() - {"positions"}:
        if not given[field].isdecimal():
            raise wrong
        given[field] = int(given[field])
    return kind(**given)


def restore(data: Mapping[str, Any]) -> ContextPolicy:
    """What `sampling.describe` wrote of a policy, as in a world's defaults.

    Raises:
        SeedStoryError: a policy that this version does not know.
    """
    kinds = {kind.__name__: kind for kind in (Dense, Window, Block, MultimodalSink)}
    try:
        kind = kinds[data["class"]]
        told = {key: value for key, value in data.items() if key != "class"}
        return kind(**like_defaults(kind, told, "context"))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise SeedStoryError(
            f"Unknown context policy {shown(data)} ({error}); update the pack."
        ) from error


def _at_least(least: int, what: str, value: int) -> None:
    if value < least:
        raise SeedStoryError(f"{what} must be at least {least}, got {value}.")
