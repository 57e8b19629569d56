"""Character cards: name, looks in words, a picture, and if wanted a LoRA, in a library folder.

```
<library>/<card>/card.json     format, version, name, phrase, picture, lora
<library>/<card>/picture.png
```
Cards come from strangers too: sizes are bounded, types are checked, no path leaves its folder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from torch import Tensor

from ..errors import SeedStoryError
from ..files import atomic_write_bytes, atomic_write_json
from ..images import check_picture, encode_png, read_picture
from ..names import place_for
from ..story import check_caption
from ..story_store import safe_name
from ..strict_json import number, read_json, shown, text
from ..types import Character
from ..world import MAX_PATH, inside
from .scripts import one_line

FORMAT, VERSION = "seedstory-character", 1
MANIFEST, PICTURE = "card.json", "picture.png"
MAX_MANIFEST = 64 << 10  # bytes
MAX_NAME, MAX_PHRASE = 80, 400  # letters
MAX_CARDS = 1000
MAX_STRENGTH = 10.0


@dataclass(frozen=True, eq=False, repr=False)
class Card:
    """Somebody who recurs in stories.

    Attributes:
        name: as captions say it.
        phrase: the looks, as in "a small fox with a green scarf".
        picture: uint8 [H, W, 3], or None.
        lora: name of a LoRA file that draws this character, as the host lists it; "" for none.
        strength: of the LoRA.
    """

    name: str
    phrase: str = ""
    picture: Tensor | None = None
    lora: str = ""
    strength: float = 1.0

    def __post_init__(self) -> None:
        if len(self.name) > MAX_NAME or len(self.phrase) > MAX_PHRASE:
            raise SeedStoryError(
                f"A character has a name of at most {MAX_NAME} letters and a phrase of at most "
                f"{MAX_PHRASE}, got {len(self.name)} and {len(self.phrase)}."
            )
        for field in ("name", "phrase"):
            object.__setattr__(self, field, one_line(getattr(self, field)))
            check_caption(getattr(self, field), f"{field} of a character")
        if not self.name:
            raise SeedStoryError("A character needs a name, by which captions call it.")
        if self.picture is not None:
            check_picture(self.picture, f"picture of {self.name}")
        _check_lora(self.lora, self.strength)

    def __repr__(self) -> str:
        return f"Card({self.name!r}, {self.phrase[:40]!r})"

    @property
    def character(self) -> Character:
        """The same for a story's characters."""
        return Character(self.name, self.phrase, () if self.picture is None else (self.picture,))


def _check_lora(name: str, strength: float) -> None:
    check_caption(name, "LoRA's name")
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or ":" in name or len(name) > MAX_PHRASE:
        raise SeedStoryError(
            f"The LoRA {name!r:.80} is no file's name within the folder of LoRAs. Name it as the "
            "LoRA loader lists it."
        )
    if not (math.isfinite(strength) and abs(strength) <= MAX_STRENGTH):
        raise SeedStoryError(
            f"A LoRA's strength is from -{MAX_STRENGTH:g} to {MAX_STRENGTH:g}, got {strength}."
        )


def cards_in(library: Path) -> dict[str, Path]:
    """``{folder name: folder}`` of every card directly under ``library``, by name."""
    if not library.is_dir():
        return {}
    found = [folder for folder in library.iterdir() if (folder / MANIFEST).is_file()]
    return {folder.name: folder for folder in sorted(found)[:MAX_CARDS]}


def load_card(folder: Path) -> Card:
    """The card in ``folder``.

    Raises:
        SeedStoryError: none there, a newer version, wrong types, a picture outside the folder.
    """
    data, path = _manifest(folder), folder / MANIFEST
    try:
        name = text(data.get("name"), "name", MAX_NAME)
        phrase = text(data.get("phrase", ""), "phrase", MAX_PHRASE)
        lora = text(data.get("lora", ""), "lora", MAX_PHRASE)
        strength = number(data.get("strength", 1.0), "strength", -MAX_STRENGTH, MAX_STRENGTH)
        picture = data.get("picture")
        if picture is not None:
            picture = inside(folder, text(picture, "picture", MAX_PATH))
        return Card(
            name, phrase, None if picture is None else read_picture(picture), lora, strength
        )
    except SeedStoryError as error:
        raise SeedStoryError(f"{path}: {error} Mend it, or save the card anew.") from error


def _manifest(folder: Path) -> Mapping[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise SeedStoryError(f"{folder} is no character card: it has no {MANIFEST}.")
    data = read_json(path, MAX_MANIFEST, "Save the card anew.")
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise SeedStoryError(f"{path} is no card: expected an object with format {FORMAT!r}.")
    if data.get("version") != VERSION:
        raise SeedStoryError(
            f"{path} has version {shown(data.get('version'))}; this program reads {VERSION}. "
            "Update it."
        )
    return data


def save_card(library: Path, card: Card, replace: bool = False) -> Path:
    """Save ``card`` in a folder of its name under ``library``; the folder.

    The picture is written first and card.json last, each whole or not at all.

    Args:
        replace: take the place of a card of this name that says something else. Its picture stays
            where the new card has none.

    Raises:
        SeedStoryError: there is another card of this name, and it is not to be replaced.
    """
    folder = place_for(library, safe_name(card.name))
    known = load_card(folder) if (folder / MANIFEST).is_file() else None
    if known is not None:
        if _same(known, card):
            return folder
        if not replace:
            raise SeedStoryError(
                f"There is another card {card.name!r} in {library}. Allow it to be replaced, or "
                "give this character another name."
            )
    has_picture = card.picture is not None or (known is not None and known.picture is not None)
    if card.picture is not None:
        atomic_write_bytes(inside(library, f"{folder.name}/{PICTURE}"), encode_png(card.picture))
    data = {"format": FORMAT, "version": VERSION, "name": card.name, "phrase": card.phrase}
    data |= {"picture": PICTURE if has_picture else None}
    data |= {"lora": card.lora, "strength": card.strength}
    atomic_write_json(inside(library, f"{folder.name}/{MANIFEST}"), data)
    return folder


def _same(known: Card, card: Card) -> bool:
    fields = ("name", "phrase", "lora", "strength")
    alike = all(getattr(known, field) == getattr(card, field) for field in fields)
    if card.picture is None or known.picture is None:
        return alike and card.picture is None
    return alike and known.picture.equal(card.picture)
