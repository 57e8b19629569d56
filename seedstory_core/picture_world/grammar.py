"""All forms of all sentences, by kind and by first word; parsing a sentence."""

from __future__ import annotations

import re
from functools import lru_cache

from .captions import SLOTS, Form, Sentence
from .sentences_people import DOING, FEELING
from .sentences_plays import PLAYS
from .sentences_sky import SETTINGS, TURNS
from .sentences_talk import SAYING, SLEEPING
from .sentences_things import THINGS
from .sentences_ways import GOING, MEETING, OPENINGS

FORMS: tuple[Form, ...] = (
    *(*OPENINGS, *GOING, *MEETING, *SETTINGS, *TURNS),
    *(*THINGS, *PLAYS, *DOING, *FEELING, *SAYING, *SLEEPING),
)
MAX_SENTENCES = 3
MAX_CHARACTERS = 400
_SENTENCE = re.compile(r'((?:"[^"]*"|[^".!?])+[.!?])(?: +|$)')


def _by_kind() -> dict[str, tuple[Form, ...]]:
    kinds: dict[str, list[Form]] = {}
    for form in FORMS:
        kinds.setdefault(form.kind, []).append(form)
    return {kind: tuple(forms) for kind, forms in kinds.items()}


KINDS = _by_kind()


def first_words(form: Form) -> set[str]:
    """Every first word that instances of a form have, in lower case."""
    word = form.text.lstrip('"').split()[0]
    slot = re.match(r"\{(\w+)\}", word)
    if slot is None:
        return {re.sub(r"\W+$", "", word.lower())}
    if slot[1] == "all":
        return {"they", *SLOTS["b"].lower().split("|")}
    return {choice.lower().split()[0] for choice in SLOTS[slot[1]].split("|")}


def _by_first_word() -> dict[str, list[Form]]:
    index: dict[str, list[Form]] = {}
    for form in FORMS:
        for word in sorted(first_words(form)):
            index.setdefault(word, []).append(form)
    return index


_INDEX = _by_first_word()


def split(caption: str) -> list[str] | None:
    """The sentences of a caption; None if it is not a sequence of sentences."""
    caption = caption.strip()
    if not caption or len(caption) > MAX_CHARACTERS:
        return None
    found, end = [], 0
    for match in _SENTENCE.finditer(caption):
        if match.start() != end:
            return None
        found.append(match[1])
        end = match.end()
    return found if end == len(caption) and len(found) <= MAX_SENTENCES else None


@lru_cache(maxsize=1 << 14)
def parse_all(sentence: str) -> tuple[Sentence, ...]:
    """Every form that this text is an instance of; there should be one at most."""
    word = re.match(r'"?(\w+)', sentence)
    forms = _INDEX.get(word[1].lower(), []) if word else []
    matches = ((form, form.pattern.fullmatch(sentence)) for form in forms)
    return tuple(Sentence(form, match.groupdict()) for form, match in matches if match)


def parse(caption: str) -> tuple[Sentence, ...] | None:
    """The sentences of a caption; None if it is not of this grammar."""
    texts = split(caption)
    if texts is None:
        return None
    parsed = [parse_all(text) for text in texts]
    return tuple(found[0] for found in parsed) if all(parsed) else None
