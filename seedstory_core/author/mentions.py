"""Where many names are first said in a text, found in one pass over it (Aho and Corasick, 1975).

Names and texts are cut into words and single other characters, so that only whole words are found.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

_PART = re.compile(r"\w+|\W", re.DOTALL)
_APOSTROPHES = ("'", "\u2019")


@dataclass(eq=False)
class _Node:
    """A beginning of names: how it goes on, the longest beginning that is its end, and the names
    that end here (``inner``: the next node on the way of ends that has some)."""

    following: dict[str, _Node] = field(default_factory=dict)
    end: _Node | None = None
    names: list[tuple[str, int]] = field(default_factory=list)
    inner: _Node | None = None


class Names:
    """Finds names in texts.

    >>> Names(["Mila", "Bo"]).first_places("Mila's kite, Bob and Mila.")
    {'Mila': (21, 25)}
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._root = _Node()
        for name in dict.fromkeys(names):
            node, parts = self._root, _PART.findall(name)
            for part in parts:
                node = node.following.setdefault(part, _Node())
            node.names.append((name, len(parts)))
        self._link()

    def _link(self) -> None:
        waiting = deque([self._root])
        while waiting:
            node = waiting.popleft()
            for part, child in node.following.items():
                end = self._step(node.end, part)
                child.end = end
                child.inner = end if end.names else end.inner
                waiting.append(child)

    def _step(self, node: _Node | None, part: str) -> _Node:
        """The longest beginning of a name that ends with ``part`` behind what led to ``node``."""
        while node is not None:
            if part in node.following:
                return node.following[part]
            node = node.end
        return self._root

    def first_places(self, text: str) -> Mapping[str, tuple[int, int]]:
        """``{name: (start, end)}`` of the names that ``text`` says, each where it first does.

        A name is found as a whole word; "Mila's" is none of Mila.
        """
        parts, root = _PART.findall(text), self._root
        found: dict[str, tuple[int, int]] = {}
        if root.following.keys().isdisjoint(parts):
            return found
        starts = list(accumulate(map(len, parts), initial=0))
        node = root
        for at, part in enumerate(parts, start=1):
            node = node.following.get(part) or self._step(node.end, part)
            here = node if node.names else node.inner
            while here is not None:
                for name, length in here.names:
                    if name not in found and _whole(parts, at - length, at):
                        found[name] = (starts[at - length], starts[at])
                here = here.inner
        return found


def _whole(parts: Sequence[str], start: int, end: int) -> bool:
    """Whether ``parts[start:end]`` stand alone: no word before them, none behind, no "'s"."""
    before = parts[start - 1] if start else ""
    after, next_after = (*parts[end : end + 2], "", "")[:2]
    if _is_word(before) or _is_word(after):
        return False
    return not (after in _APOSTROPHES and next_after == "s")


def _is_word(part: str) -> bool:
    return part[:1].isalnum() or part[:1] == "_"
