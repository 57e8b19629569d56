"""Judges told stories: a parser reads the captions, probes the pictures, rows say what is right.

A caption that the parser cannot read asks for nothing, so nothing can be right: such a panel fails
in every row of the picture. The opening is given, not told; it is read and not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..picture_world.scene import Scene
from .intervals import Difference, Share, difference_of, share_of
from .sight import ALL_RIGHT, PICTURE_ROWS, Sight, judge_appearances, judge_picture

#: Rows judged of each caption.
CAPTION_ROWS: Mapping[str, str] = {
    "grammatical": "captions grammatical",
    "consistent": "captions free of contradiction",
    "distinct": "captions not repeated",
}
PANEL_RIGHT = "panel_right"
KEPT, KEPT_EACH = "kept", "kept_each"
#: Every row of a table, in order, with its title.
ROWS: Mapping[str, str] = {
    **PICTURE_ROWS,
    ALL_RIGHT: "everything in the picture right",
    KEPT_EACH: "appearances with their own looks",
    KEPT: "characters that keep their looks all story long",
    **CAPTION_ROWS,
    PANEL_RIGHT: "picture and caption right",
}
#: The targets of the world, as shares; rows without one are reported only.
TARGETS: Mapping[str, float] = {
    "present": 0.98,
    "no_stranger": 0.98,
    "accessory": 0.98,
    "colours": 0.98,
    "place": 0.99,
    "time": 0.99,
    "weather": 0.99,
    "prop": 0.95,
    "action": 0.92,
    ALL_RIGHT: 0.85,
    KEPT: 0.98,
    "grammatical": 0.99,
    "consistent": 0.95,
    "distinct": 0.90,
}


@dataclass(frozen=True)
class CaptionVerdict:
    """What the parser makes of one caption after all captions before it.

    Attributes:
        scene: what the picture must show; None if the caption cannot be read.
    """

    scene: Scene | None
    grammatical: bool
    consistent: bool
    distinct: bool


@dataclass(frozen=True)
class PanelVerdict:
    """One judged panel.

    Attributes:
        story: number of its story; ``panel``: its place there, the opening being 0.
        rows: of `PICTURE_ROWS`, `CAPTION_ROWS`, `ALL_RIGHT` and `PANEL_RIGHT`.
        looks: for each named character whether it is there and looks right.
        held_out: the scene has a combination that training never saw.
    """

    story: int
    panel: int
    rows: Mapping[str, bool]
    looks: Mapping[str, bool]
    held_out: bool = False


def read_captions(captions: Sequence[str]) -> list[CaptionVerdict]:
    """A verdict for each caption of a story, the opening's included."""
    from ..picture_world.reading import CaptionReader

    reader, seen, verdicts = CaptionReader(), set(), []
    for caption in captions:
        reading = reader.read(caption)
        plain = " ".join(caption.split()).casefold()
        verdicts.append(
            CaptionVerdict(
                reading.scene,
                reading.grammatical,
                reading.grammatical and not reading.problems,
                plain not in seen,
            )
        )
        seen.add(plain)
    return verdicts


def judge_panels(
    story: int,
    captions: Sequence[CaptionVerdict],
    sights: Sequence[Sight],
    is_held_out: Callable[[Scene], bool] = lambda scene: False,
) -> list[PanelVerdict]:
    """Judge the panels after the opening.

    Args:
        captions, sights: of all panels, the opening first.
    """
    judged = []
    for panel, (said, sight) in enumerate(zip(captions, sights, strict=True)):
        if panel == 0:
            continue
        if said.scene is None:
            picture = dict.fromkeys((*PICTURE_ROWS, ALL_RIGHT), False)
            looks = {}
        else:
            picture = judge_picture(said.scene, sight)
            looks = judge_appearances(said.scene, sight)
        words = {name: bool(getattr(said, name)) for name in CAPTION_ROWS}
        rows = {**picture, **words, PANEL_RIGHT: picture[ALL_RIGHT] and all(words.values())}
        held_out = said.scene is not None and is_held_out(said.scene)
        judged.append(PanelVerdict(story, panel, rows, looks, held_out))
    return judged


def units(
    panels: Iterable[PanelVerdict], row: str, length: int | None = None
) -> tuple[list[bool], list[int]]:
    """What a row counts, in panels 1 to ``length``, and the story each item belongs to.

    Most rows count panels; `KEPT_EACH` counts appearances, `KEPT` characters of a story.
    """
    chosen = [item for item in panels if length is None or item.panel <= length]
    if row == KEPT_EACH:
        pairs = [(right, item.story) for item in chosen for right in item.looks.values()]
    elif row == KEPT:
        kept: dict[tuple[int, str], bool] = {}
        for item in chosen:
            for name, right in item.looks.items():
                key = (item.story, name)
                kept[key] = kept.get(key, True) and right
        pairs = [(right, story) for (story, _), right in kept.items()]
    else:
        pairs = [(item.rows[row], item.story) for item in chosen]
    return [right for right, _ in pairs], [story for _, story in pairs]


def by_name(panels: Sequence[PanelVerdict]) -> dict[str, Share]:
    """Of each character, the share of its appearances that show it with its own looks."""
    names = sorted({name for panel in panels for name in panel.looks})
    named = {name: [panel for panel in panels if name in panel.looks] for name in names}
    return {
        name: share_of([panel.looks[name] for panel in here], [panel.story for panel in here])
        for name, here in named.items()
    }


def shares(
    panels: Sequence[PanelVerdict], length: int | None = None, rows: Iterable[str] = ROWS
) -> dict[str, Share]:
    """Every row's share with its interval; rows that count nothing are left out."""
    found = {}
    for row in rows:
        right, stories = units(panels, row, length)
        if right:
            found[row] = share_of(right, stories)
    return found


def differences(
    ours: Sequence[PanelVerdict], theirs: Sequence[PanelVerdict], rows: Iterable[str]
) -> dict[str, Difference]:
    """Rows of one series of panels minus those of another of the very same panels."""
    assert [(p.story, p.panel) for p in ours] == [(p.story, p.panel) for p in theirs]
    stories = [panel.story for panel in ours]
    return {
        row: difference_of([p.rows[row] for p in ours], [p.rows[row] for p in theirs], stories)
        for row in rows
    }
