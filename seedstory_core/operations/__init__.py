"""Operations on stories: pure functions from a story to a new one.

One law holds for all of them: panels before the touched one are the very same objects, and later
panels keep caption, text, features, picture, seed and provenance bit for bit; only their uids,
which are a chain over all that was said before, follow. What was done to a panel stands in its
provenance under ``edits``. The given story is never changed, so nothing a user made is lost.

`lines` needs no model; `retelling` and `takes` ask an engine; `pictures` takes any painter, and
never an LLM.
"""

from __future__ import annotations

from .chain import EDITS, edits_of
from .how import KEEP, LATER, TELL
from .lines import branch, insert, join, remove, reorder, rewind
from .pictures import attach_best, check_paintable, repaint, repainted, reroll_picture
from .retelling import (
    edit_caption,
    insert_told,
    reroll_features,
    reroll_panel,
    reroll_text,
    retell,
)
from .selection import check_panels, panel_order, panel_selection, panels_there
from .takes import RULES, Takes, best_of

__all__ = [
    "EDITS",
    "KEEP",
    "LATER",
    "RULES",
    "TELL",
    "Takes",
    "attach_best",
    "best_of",
    "branch",
    "check_paintable",
    "check_panels",
    "edit_caption",
    "edits_of",
    "insert",
    "insert_told",
    "join",
    "panel_order",
    "panel_selection",
    "panels_there",
    "remove",
    "reorder",
    "repaint",
    "repainted",
    "reroll_features",
    "reroll_panel",
    "reroll_picture",
    "reroll_text",
    "retell",
    "rewind",
]
