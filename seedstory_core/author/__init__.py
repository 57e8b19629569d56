"""Any author: captions from a script file or another language model, characters from cards.

`scripts` reads text into captions, word for word; `cards` keeps how characters look, and puts it
into captions. Both know no engine and no host.
"""

from __future__ import annotations

from .cards import Card, cards_in, load_card, save_card
from .casting import cast, introduced, with_looks
from .scripts import FORMATS, Script, read_script, read_script_file

__all__ = [
    "FORMATS",
    "Card",
    "Script",
    "cards_in",
    "cast",
    "introduced",
    "load_card",
    "read_script",
    "read_script_file",
    "save_card",
    "with_looks",
]
