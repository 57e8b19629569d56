"""Characters' looks in captions: where a name is first said, its phrase follows.

>>> with_looks("Mila runs. Mila falls.", [Card("Mila", "a girl in red")])
'Mila, a girl in red, runs. Mila falls.'
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import SeedStoryError
from .cards import Card, cards_in, load_card

ALL = "*"
FIRST, EVERY = "first panel", "every panel"
#: In which captions a character's looks are said: of the panels it is in, the first one or all.
WHEN = (FIRST, EVERY)


def cast(library: Path, names: str) -> tuple[Card, ...]:
    """The cards that ``names`` names, with commas or line breaks between; ``*`` for all of them.

    Raises:
        SeedStoryError: no such card, or a damaged one.
    """
    known = cards_in(library)
    wanted = [name.strip() for name in re.split(r"[,\n]", names) if name.strip()]
    if wanted == [ALL]:
        wanted = list(known)
    missing = [name for name in wanted if name not in known]
    if missing:
        raise SeedStoryError(
            f"There is no character card {missing[0]!r} in {library}. Found: "
            f"{', '.join(known) or 'none yet; save one first'}."
        )
    return tuple(load_card(known[name]) for name in dict.fromkeys(wanted))


def introduced(captions: Sequence[str], cards: Iterable[Card], when: str = FIRST) -> list[str]:
    """``captions`` with the looks of ``cards`` put in.

    Args:
        when: one of `WHEN`.
    """
    if when not in WHEN:
        raise SeedStoryError(f"Looks are said in the {' or '.join(WHEN)}, got {when!r}.")
    left = {card.name: card for card in cards}
    made = []
    for caption in captions:
        said = [card for card in left.values() if _place(caption, card.name)]
        made.append(with_looks(caption, said))
        if when == FIRST:
            left = {name: card for name, card in left.items() if card not in said}
    return made


def with_looks(caption: str, cards: Iterable[Card]) -> str:
    """``caption`` with each card's phrase behind the first mention of its name, between commas.

    A name is found as a whole word, written as on the card; a caption that has the phrase already
    stays as it is. Names inside a phrase are never taken for mentions.
    """
    wanted = {c.name: c for c in cards if c.phrase and c.phrase not in caption}
    places = {name: _place(caption, name) for name in wanted}
    found = [(match.start(), match.end(), name) for name, match in places.items() if match]
    return _put_in(caption, sorted(found), wanted)


def _place(caption: str, name: str) -> re.Match[str] | None:
    """Where ``name`` is first said as a whole word; "Mila's kite" has no room for a phrase."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w|['\u2019]s\b)", caption)


def _put_in(caption: str, found: Sequence[tuple[int, int, str]], cards: Mapping[str, Card]) -> str:
    """The phrases behind the mentions, ascending; of two that overlap (a name that begins another)
    the longer one counts."""
    parts, start = [], 0
    for place, end, name in found:
        if place < start or any(p <= place and e >= end and n != name for p, e, n in found):
            continue
        rest = caption[end:]
        closing = "" if not rest or rest[0] in ",.;:!?)\u2026" else ","
        parts.append(f"{caption[start:end]}, {cards[name].phrase}{closing}")
        start = end
    return "".join((*parts, caption[start:]))
