"""Who looks how: species, colours and the one accessory everybody is known by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Look:
    """The looks of a character.

    Attributes:
        species: a key of `sprites_heads.HEADS`.
        fur, shade, light: palette names of the fur, its darker parts, and face and belly.
        nose, feet: palette names of nose or beak and of the feet.
        accessory: a key of `sprites_props.ACCESSORIES`; None draws none.
    """

    species: str
    fur: str
    shade: str
    light: str
    nose: str
    feet: str
    accessory: str | None


#: The cast and the guest.
LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "Mila": Look("rabbit", "ivory", "pearl", "white", "rose", "ivory", "scarf"),
        "Bruno": Look("bear", "brown", "umber", "tan", "ink", "umber", "hat"),
        "Pip": Look("penguin", "slate", "ink", "white", "orange", "orange", "bobble"),
        "Luna": Look("cat", "ash", "smoke", "pearl", "rose", "pearl", "bow"),
        "Fenn": Look("fox", "ginger", "rust", "cream", "ink", "rust", "cape"),
        "Tilda": Look("turtle", "lime", "moss", "cream", "moss", "lime", "flower"),
        "Olive": Look("owl", "sand", "bark", "cream", "orange", "orange", "glasses"),
    }
)
