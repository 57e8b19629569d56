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
from .mentions import Names
from .scripts import MAX_LETTERS

ALL = "*"
MOST_LETTERS = 2 * MAX_LETTERS  # of a caption with looks
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

    Raises:
        SeedStoryError: no such ``when``, or a caption becomes too long by it.
    """
    if when not in WHEN:
        raise SeedStoryError(f"Looks are said in the {' or '.join(WHEN)}, got {when!r}.")
    known = {card.name: card for card in cards}
    names, said = Names(known), set[str]()
    made = []
    for number, caption in enumerate(captions, start=1):
        places = names.first_places(caption)
        wanted = [known[name] for name in places if name not in said]
        made.append(_put_in(caption, places, wanted))
        if len(made[-1]) > max(MOST_LETTERS, len(caption)):
            raise SeedStoryError(
                f"Caption {number} has {len(made[-1])} letters with the looks of "
                f"{len(wanted)} characters; at most {MOST_LETTERS} are read. Split it, or name "
                "fewer characters."
            )
        if when == FIRST:
            said |= places.keys()
    return made


def with_looks(caption: str, cards: Iterable[Card]) -> str:
    """``caption`` with each card's phrase behind the first mention of its name, between commas.

    A name is found as a whole word, written as on the card ("Mila's kite" has no room for a
    phrase); a caption that has the phrase already stays as it is. Names inside a phrase are never
    taken for mentions.
    """
    known = {card.name: card for card in cards}
    return _put_in(caption, Names(known).first_places(caption), known.values())


def _put_in(caption: str, places: Mapping[str, tuple[int, int]], cards: Iterable[Card]) -> str:
    """The phrases of ``cards`` behind the mentions; of two that overlap (a name that begins
    another) the longer one counts."""
    phrases = {c.name: c.phrase for c in cards if c.name in places}
    phrases = {name: phrase for name, phrase in phrases.items() if phrase and phrase not in caption}
    found = [(*places[name], name) for name in phrases]
    found.sort(key=lambda mention: (mention[0], -mention[1]))
    parts, start, reach = [], 0, 0
    for place, end, name in found:
        inside, reach = end <= reach, max(reach, end)
        if inside or place < start:
            continue
        closing = "" if end == len(caption) or caption[end] in ",.;:!?)\u2026" else ","
        parts.append(f"{caption[start:end]}, {phrases[name]}{closing}")
        start = end
    return "".join((*parts, caption[start:]))
