"""What a story has said before, and which next words would say it again.

Knows no tokenizer and no story: captions come as ids, with a way to spell them out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, eq=False)
class Earlier:
    """A story's captions, indexed once for a panel so that each token costs one look-up.

    The caption being said is none of them: repetition within it is `Sampling.no_repeat_ngram`'s.

    Attributes:
        size: how many ids in a row may not come again; 0 bans nothing at all.
        turn: ids that may stand before a caption and are no part of it.
        follow: ``size - 1`` ids in a row -> ids that followed them somewhere.
        captions: whole captions, spelled out.
        spell: ids, those of the turn included -> the caption as readers see it.
    """

    size: int = 0
    turn: tuple[int, ...] = ()
    follow: Mapping[tuple[int, ...], set[int]] = field(default_factory=dict)
    captions: frozenset[str] = frozenset()
    spell: Callable[[Sequence[int]], str] = str

    @classmethod
    def index(
        cls,
        captions: Iterable[tuple[Sequence[int], str]],
        size: int,
        turn: Sequence[int],
        spell: Callable[[Sequence[int]], str],
    ) -> Earlier:
        """An index of captions, each as ids (with or without the turn) and spelled out."""
        assert size > 0, size
        follow: dict[tuple[int, ...], set[int]] = {}
        whole = set()
        for ids, text in captions:
            said = tuple(without_turn(ids, turn))
            for start in range(len(said) - size + 1):
                last = start + size - 1
                follow.setdefault(said[start:last], set()).add(said[last])
            whole.add(_words(text))
        return cls(size, tuple(turn), follow, frozenset(whole - {""}), spell)

    def repeating(self, text: Sequence[int]) -> set[int]:
        """Ids that behind ``text`` would complete a run of ``size`` ids of an earlier caption.

        >>> Earlier.index([([5, 6, 7], "abc")], 2, [], str).repeating([1, 6])
        {7}
        """
        said = without_turn(text, self.turn)
        if not self.size or len(said) < self.size - 1:
            return set()
        found = self.follow.get(tuple(said[len(said) - self.size + 1 :]), set())
        going_on = set() if said else set(self.turn[len(text) :][:1])  # of the turn itself
        return found - going_on

    def complete(self, text: Sequence[int]) -> bool:
        """Whether ``text`` is an earlier caption word for word."""
        return bool(self.captions) and _words(self.spell(text)) in self.captions


#: Of a story without captions, or one that may repeat itself.
NOTHING = Earlier()


def without_turn(ids: Sequence[int], turn: Sequence[int]) -> Sequence[int]:
    """``ids`` behind what they share with ``turn`` from the start.

    They share less than the whole turn while it is being said, or where the tokenizer has joined
    its end and the first word.

    >>> without_turn([1, 2, 5], [1, 2, 3])
    [5]
    """
    pairs = zip(ids, turn, strict=False)
    shared = next((i for i, (said, due) in enumerate(pairs) if said != due), None)
    return ids[min(len(ids), len(turn)) if shared is None else shared :]


def _words(text: str) -> str:
    """``text`` with single spaces, so that one more space makes no new caption."""
    return " ".join(text.split())
