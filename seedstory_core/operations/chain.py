"""What every operation does in the end: other panels in a row, their uids chained, edits noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from ..errors import SeedStoryError
from ..story import check_features, check_text, next_uid
from ..story_reader import MAX_PANELS
from ..types import Json, Panel, Story

ROUNDING = 1e-3  # of the largest feature: what telling again may change, as in `story_store`

#: Provenance: what was done to a panel, a list of objects whose ``op`` names the operation.
EDITS = "edits"


def edits_of(panel: Panel) -> list[Json]:
    """What was done to ``panel`` so far, oldest first."""
    found = panel.provenance.get(EDITS, [])
    return list(found) if isinstance(found, list) else []


def noted(panel: Panel, op: str, before: Panel | None = None, **details: Json) -> Panel:
    """``panel`` with one more edit; the earlier ones are those of ``before``, whose place it
    takes."""
    earlier = edits_of(panel if before is None else before)
    was: dict[str, Json] = {} if before is None else {"was": before.uid}
    provenance = {**panel.provenance, EDITS: [*earlier, {"op": op, **was, **details}]}
    return replace(panel, provenance=provenance)


def chained(story: Story, panels: Sequence[Panel]) -> Story:
    """``story`` with ``panels`` instead of its own, each with the uid of its new place.

    A panel whose uid stays is the same object as before.

    Raises:
        SeedStoryError: no panel is left, or more than a story may have.
    """
    if not 1 <= len(panels) <= MAX_PANELS:
        raise SeedStoryError(
            f"A story has 1 to {MAX_PANELS} panels; this would have {len(panels)}."
        )
    done: list[Panel] = []
    for panel in panels:
        uid = next_uid(replace(story, panels=tuple(done[-1:])), panel)
        done.append(panel if panel.uid == uid else replace(panel, uid=uid))
    return replace(story, panels=tuple(done))


def check_fits(story: Story, panel: Panel, what: str) -> None:
    """Refuse a panel that later panels of ``story`` could not read.

    Raises:
        SeedStoryError: it lacks features that the others have, or its text or numbers are unusable.
    """
    check_text(panel.caption + panel.text, f"caption of {what}")
    check_features(panel.features, what)
    wanted = {space: tuple(row.shape) for space, row in story.panels[0].features.items()}
    found = {space: tuple(row.shape) for space, row in panel.features.items()}
    for space, shape in wanted.items():
        if found.get(space) != shape:
            came = f"of the shape {list(found[space])}" if space in found else "not there"
            raise SeedStoryError(
                f"The {space!r} features of {what} must have the shape {list(shape)}, as those of "
                f"story {story.run!r}; they are {came}. Take a panel of a story of the same "
                "world, or let the model tell one in its place."
            )


def close(one: Tensor, other: Tensor) -> bool:
    """Whether features are the same but for rounding."""
    if one.shape != other.shape:
        return False
    largest = float(one.float().abs().max())
    return float((one.float() - other.float()).abs().max()) <= ROUNDING * largest
