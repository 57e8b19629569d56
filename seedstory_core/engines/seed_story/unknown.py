"""Words that a world's tokenizer has to spell, since nothing like them was in what it learned."""

from __future__ import annotations

import re
import unicodedata

from .tokenizer import Tokenizer

SHORT = 4  # letters; shorter words stand for themselves even where they are spelt
MOST = 20  # words named
_WORD = re.compile(r"[^\W\d_]+")
_BEFORE = "a "


def unknown_words(tokenizer: Tokenizer, text: str) -> tuple[str, ...]:
    """The words of ``text``, each once, that are spelt letter by letter or even byte by byte.

    Rare words that the world has read are cut into pieces too; a word is named only where no two
    of its letters were ever seen side by side often enough to become a piece, not even its first
    letter behind a space, or where a letter itself is none of the vocabulary.
    """
    found: dict[str, None] = {}
    for word in dict.fromkeys(_WORD.findall(unicodedata.normalize("NFKC", text))):
        if len(found) == MOST:
            break
        if _spelt(tokenizer, word):
            found[word] = None
    return tuple(found)


def _spelt(tokenizer: Tokenizer, word: str) -> bool:
    if any(not tokenizer.has_piece(letter) for letter in word):
        return True
    if len(word) < SHORT:
        return False
    pieces = len(tokenizer.encode(_BEFORE + word)) - len(tokenizer.encode(_BEFORE.strip()))
    return pieces > len(word)  # every letter alone, and the space before it
