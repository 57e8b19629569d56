"""The words that captions are made of besides the sentences' own: pronouns, things, places, sky."""

from __future__ import annotations

from .scene import CAST, GUEST, PROPS

NAMES = (*CAST, GUEST)
PRONOUNS = {
    "Mila": "she",
    "Bruno": "he",
    "Pip": "he",
    "Luna": "she",
    "Fenn": "he",
    "Tilda": "she",
    GUEST: "she",
}
OBJECTS = {"she": "her", "he": "him"}
POSSESSIVES = {"she": "her", "he": "his"}
_CASES = {"she": "she", "he": "he", "her": "she", "him": "he"}

#: ``at`` phrases: where somebody is.
AT = {
    "in the meadow": "meadow",
    "in the forest": "forest",
    "at the beach": "beach",
    "in the village": "village",
    "on the mountain": "mountain",
    "at the lake": "lake",
    "in the garden": "garden",
    "in the kitchen": "kitchen",
}
THE_PLACE = {f"the {place}": place for place in AT.values()}
THE_PROP = {f"the {prop}": prop for prop in PROPS}
A_PROP = {f"{'an' if prop[0] in 'aeiou' else 'a'} {prop}": prop for prop in PROPS}
#: ``when`` phrases.
WHEN = {
    "today": "day",
    "in the daylight": "day",
    "at sunset": "sunset",
    "in the evening": "sunset",
    "at night": "night",
    "in the dark": "night",
}
#: ``sky`` phrases, for outdoors.
SKY = {
    "under the clear sky": "clear",
    "in the rain": "rain",
    "in the snow": "snow",
}
#: ``air`` phrases say time and weather at once; they follow "a" or "one".
AIR = {
    "sunny day": ("day", "clear"),
    "clear day": ("day", "clear"),
    "rainy day": ("day", "rain"),
    "wet day": ("day", "rain"),
    "snowy day": ("day", "snow"),
    "clear evening": ("sunset", "clear"),
    "golden evening": ("sunset", "clear"),
    "rainy evening": ("sunset", "rain"),
    "snowy evening": ("sunset", "snow"),
    "clear night": ("night", "clear"),
    "starry night": ("night", "clear"),
    "rainy night": ("night", "rain"),
    "snowy night": ("night", "snow"),
}


def pronoun_of(word: str) -> str | None:
    """``she`` or ``he`` for a personal pronoun in any case, None for other words."""
    return _CASES.get(word.lower())
