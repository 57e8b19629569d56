"""The language tag of a text, as far as its script tells."""

from __future__ import annotations

import unicodedata
from collections import Counter

#: First words of Unicode's character names -> BCP 47 tag. Latin is read as English.
TAGS = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CJK": "zh",
    "ARABIC": "ar",
    "HEBREW": "he",
    "CYRILLIC": "ru",
    "GREEK": "el",
    "THAI": "th",
    "DEVANAGARI": "hi",
    "BENGALI": "bn",
    "TAMIL": "ta",
    "ARMENIAN": "hy",
    "GEORGIAN": "ka",
    "LATIN": "en",
}
SAMPLE = 4000  # characters that are looked at


def language_of(text: str) -> str:
    """A BCP 47 tag; any kana makes Han letters Japanese; ``en`` where nothing is known."""
    counts: Counter[str] = Counter()
    for char in text[:SAMPLE]:
        word = unicodedata.name(char, "").replace("-", " ").split(" ")[0]
        if word in TAGS:
            counts[TAGS[word]] += 1
    if counts["ja"]:
        return "ja"
    return counts.most_common(1)[0][0] if counts else "en"
