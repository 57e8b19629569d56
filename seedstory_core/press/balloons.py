"""Speech balloons and sound words: their data, simple rules that find them, and their shapes.

Rules: quoted speech becomes a balloon at the top of the picture, its tail towards the middle; words
in capitals with an exclamation mark (BANG!) become sound words. By hand: a list, with places in
shares of the picture: ``[{"panel": 2, "text": "Hello!", "at": [0.3, 0.15], "tail": [0.4, 0.6]}]``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from ..errors import SeedStoryError
from ..strict_json import parse_json

KINDS = ("speech", "thought", "shout", "narration", "sound")
MAX_BALLOONS, MAX_TEXT, MAX_JSON = 500, 1000, 400_000
MAX_QUOTE = 240  # characters; longer speech stays in the caption
MAX_SOUND = 60  # characters of a sound word, its marks included
MAX_FOUND = 12  # balloons that rules make of a caption: a picture has no room for more
TAG_WORDS = 4  # a caption with so few words left for each speech ("said the fox.") is dropped

QUOTED = re.compile(
    "\u201c([^\u201c\u201d\n]+)\u201d|\u201e([^\u201e\u201c\u201d\n]+)[\u201c\u201d]"
    "|\u00ab([^\u00ab\u00bb\n]+)\u00bb|\u300c([^\u300c\u300d\n]+)\u300d"
    '|\u300e([^\u300e\u300f\n]+)\u300f|"([^"\n]+)"'
)
SOUND = re.compile(r"\b[A-Z]{3,30}!+")


@dataclass(frozen=True)
class Balloon:
    """Words on a picture.

    Attributes:
        panel: whose picture.
        text: in the balloon.
        kind: one of `KINDS`.
        at: its middle in shares of the picture (0, 0 is the upper left corner); None: by rule.
        width: of the text at most, in shares of the picture; 0: by rule.
        tail: where the tail points, in shares of the picture; None: by rule.
    """

    panel: int
    text: str
    kind: str = "speech"
    at: tuple[float, float] | None = None
    width: float = 0.0
    tail: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SeedStoryError(
                f"A balloon's kind is one of {', '.join(KINDS)}, got {self.kind[:40]!r}."
            )
        if not self.text.strip() or len(self.text) > MAX_TEXT:
            raise SeedStoryError(
                f"A balloon holds 1 to {MAX_TEXT} characters, got {len(self.text)} for panel "
                f"{self.panel}."
            )
        for name, place in (("at", self.at), ("tail", self.tail)):
            if place is not None and not all(0 <= share <= 1 for share in place):
                raise SeedStoryError(
                    f"A balloon's {name!r} is two shares of the picture from 0 to 1, got {place}."
                )
        if not 0 <= self.width <= 1:
            raise SeedStoryError(f"A balloon's width is 0 to 1 of the picture, got {self.width}.")


def read_balloons(text: str) -> tuple[Balloon, ...]:
    """JSON list -> balloons; an empty text gives none.

    Raises:
        SeedStoryError: no JSON list of objects, unknown keys, wrong values; names the balloon.
    """
    if not text.strip():
        return ()
    if len(text) > MAX_JSON:
        raise SeedStoryError(f"The balloons have at most {MAX_JSON} characters, got {len(text)}.")
    given = parse_json(text, "The list of balloons", "Check commas and quotes.")
    if not isinstance(given, list) or len(given) > MAX_BALLOONS:
        raise SeedStoryError(f"The balloons are a JSON list of at most {MAX_BALLOONS} objects.")
    return tuple(_balloon(number, item) for number, item in enumerate(given))


def _balloon(number: int, item: Any) -> Balloon:
    checks = {
        "panel": lambda v: isinstance(v, int) and not isinstance(v, bool),
        "text": lambda v: isinstance(v, str),
        "kind": lambda v: isinstance(v, str),
        "at": _is_place,
        "width": _is_number,
        "tail": _is_place,
    }
    known = isinstance(item, dict) and {"panel", "text"} <= item.keys() <= checks.keys()
    if not known or not all(checks[key](value) for key, value in item.items()):
        raise SeedStoryError(
            f"Balloon {number} is no object with panel, text and perhaps kind, at, width, tail: "
            f"{json.dumps(item)[:120]}."
        )
    places = {key: tuple(item[key]) for key in ("at", "tail") if key in item}
    return Balloon(**{**item, **places})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_place(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def found_in(panel: int, caption: str) -> tuple[str, list[Balloon]]:
    """The caption that stays under a picture, and the balloons the rules make of the rest.

    In:  ``The fox opened the door. "Come in!" CRASH!``
    Out: ``The fox opened the door. ... CRASH!`` (one ellipsis), a speech balloon, a sound word
    """
    balloons: list[Balloon] = []
    stays = False  # something that rules would have put on the picture

    def move(match: re.Match[str]) -> str:
        nonlocal stays
        said = next(part for part in match.groups() if part is not None).strip()
        if not said or len(said) > MAX_QUOTE or len(balloons) >= MAX_FOUND:
            stays = stays or bool(said)
            return match[0]
        kind = "shout" if said.isupper() and said.endswith("!") else "speech"
        balloons.append(Balloon(panel, said.rstrip(","), kind))
        return "\u2026"

    rest = QUOTED.sub(move, caption).strip()
    speeches = len(balloons)
    for match in SOUND.finditer(rest):
        if len(match[0]) > MAX_SOUND or len(balloons) >= MAX_FOUND:
            stays = True
        else:
            balloons.append(Balloon(panel, match[0], "sound"))
    words = re.findall(r"\w+", SOUND.sub("", rest))
    if speeches and not stays and len(words) <= TAG_WORDS * speeches:
        rest = ""
    return rest, balloons
