"""Operations that ask an engine: another caption, another telling of one panel, and what follows.

Where nothing else is said, a panel is told again as it was told before: its provenance has the
sampling, the context policy and the reference switch, and the panel its seed. So re-telling a story
that nobody changed gives the same story.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..engine import Engine
from ..errors import SeedStoryError
from ..sampling import Greedy
from ..story import FED_BACK, GIVEN, check_caption, check_index, check_story
from ..types import Json, Opening, Panel, Story, with_panel
from .chain import chained, noted
from .how import KEEP, TELL, How, recorded, tell_next, tell_panel
from .lines import check_place, rewind

MAX_STRENGTH = 4.0
#: Provenance that says where features and picture come from.
OF_PICTURE = ("paint", GIVEN, FED_BACK)


def edit_caption(
    engine: Engine, story: Story, index: int, caption: str, later: str = KEEP, **how: Any
) -> Story:
    """``story`` with ``caption`` as that of panel ``index``, which the model illustrates anew.

    Of the opening only the caption changes: its picture was given, and its features are read from
    that. The edited panel has no picture yet.

    Args:
        later: ``keep``: the panels behind it stay as they are. ``tell``: they are told anew.
        how: fields of `How`.

    Raises:
        SeedStoryError: a story of another world, no such panel, or a caption that is empty, too
            long, or holds marks of the model.
    """
    plan = How(later=later, **how)
    check_story(story, engine)
    check_caption(caption, "caption")
    index = check_index(story, index)
    old = story.panels[index]
    if index == 0:
        new = _with_opening_text(engine, story, caption)
    else:
        before = rewind(story, index - 1)
        new = tell_panel(engine, before, index, caption, old, old.seed or 0, plan)
    new = noted(new, "edit_caption", old, caption=old.caption, later=later)
    return _in_place(engine, story, index, new, plan)


def reroll_text(engine: Engine, story: Story, index: int, seed: int, **how: Any) -> Story:
    """``story`` with other words for panel ``index``; its features and picture stay as they are.

    Raises:
        SeedStoryError: as of `reroll_panel`.
    """
    plan = How(**how)
    old, index, new = _told_again(engine, story, index, None, seed, plan)
    of_picture = {key: old.provenance[key] for key in OF_PICTURE if key in old.provenance}
    provenance = {key: value for key, value in new.provenance.items() if key not in OF_PICTURE}
    new = replace(
        new, features=old.features, image=old.image, provenance={**provenance, **of_picture}
    )
    new = noted(new, "reroll_text", old, caption=old.caption, seed=seed)
    return _in_place(engine, story, index, new, plan)


def reroll_features(
    engine: Engine, story: Story, index: int, seed: int, strength: float = 0.3, **how: Any
) -> Story:
    """``story`` with other features for panel ``index``; its words stay as they are.

    A model makes one picture of one caption after one story, so its features are moved: by normal
    noise of the seed, ``strength`` times as wide as each channel itself is over the tokens. 0 gives
    what the model says, which differs from before where ``context`` or ``sampling`` do. The picture
    was painted from the features before, so the panel has none until it is painted anew.
    """
    if not 0 <= strength <= MAX_STRENGTH:
        raise SeedStoryError(
            f"Features are moved by a strength from 0 to {MAX_STRENGTH:g}, got {strength:g}."
        )
    plan = How(**how)
    caption = story.panels[check_index(story, index)].caption
    old, index, told = _told_again(engine, story, index, caption, seed, plan)
    kept = {key: value for key, value in old.provenance.items() if key not in OF_PICTURE}
    features = {space: moved(rows, seed, strength) for space, rows in sorted(told.features.items())}
    new = replace(old, features=features, image=None, provenance=kept)
    new = noted(new, "reroll_features", old, seed=seed, strength=strength)
    return _in_place(engine, story, index, new, plan)


def moved(rows: Tensor, seed: int, strength: float) -> Tensor:
    """[L, D] moved by seeded noise, ``strength`` times each channel's spread over the tokens."""
    if not strength:
        return rows
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(rows.shape, generator=generator)
    spread = rows.float().std(0, unbiased=False, keepdim=True)  # [1, D]
    if len(rows) == 1:  # one token has no spread over tokens: that of its channels instead
        spread = rows.float().std(unbiased=False)
    return (rows.float() + strength * spread * noise).to(rows.dtype)


def reroll_panel(engine: Engine, story: Story, index: int, seed: int, **how: Any) -> Story:
    """``story`` with panel ``index`` told anew by ``seed``: other words, and the features to them.

    Raises:
        SeedStoryError: the opening, which is given; a story of another world; the likeliest word is
            always taken, so that no seed tells another panel; the model ends the story there.
    """
    plan = How(**how)
    old, index, new = _told_again(engine, story, index, None, seed, plan)
    new = noted(new, "reroll_panel", old, caption=old.caption, seed=seed)
    return _in_place(engine, story, index, new, plan)


def insert_told(
    engine: Engine, story: Story, index: int, caption: str | None = None, seed: int = 0, **how: Any
) -> Story:
    """``story`` with a new panel in place ``index``, told after the panels before it.

    Args:
        index: 1 to the number of panels, where it comes last.
        caption: the panel's; None: the model writes it.
    """
    plan = How(**how)
    check_story(story, engine)
    check_caption(caption or "", "caption")
    index = check_place(story, index)
    before = rewind(story, index - 1)
    new = tell_panel(engine, before, index, caption, before.panels[-1], seed, plan)
    new = noted(new, "insert", place=index)
    later = story.panels[index:]
    return _followed(engine, story, before, new, later, plan)


def retell(engine: Engine, story: Story, index: int, **how: Any) -> Story:
    """``story`` with panel ``index`` and all behind it told anew, given captions illustrated anew.

    Each is told as it was before, with its own seed, but after the panels that are before it now.
    """
    plan = How(later=TELL, **how)
    check_story(story, engine)
    index = check_index(story, index)
    if index == 0:
        raise SeedStoryError("The opening is given, not told. Tell again from panel 1 on.")
    before = rewind(story, index - 1)
    return _retold(engine, before, story.panels[index:], plan)


def _told_again(
    engine: Engine, story: Story, index: int, caption: str | None, seed: int, plan: How
) -> tuple[Panel, int, Panel]:
    """Panel ``index`` as it is, its index from 0, and as it is told now."""
    check_story(story, engine)
    index = check_index(story, index)
    old = story.panels[index]
    if index == 0:
        raise SeedStoryError(
            f"Panel 0 of story {story.run!r} is its opening, which is given and not told, so it "
            "cannot be re-rolled. Edit its caption, or re-roll a later panel."
        )
    if caption is None:
        _check_draws(old, plan)
    return old, index, tell_panel(engine, rewind(story, index - 1), index, caption, old, seed, plan)


def _check_draws(old: Panel, plan: How) -> None:
    """Refuse a re-roll that could not but tell the same."""
    sampling = plan.sampling or recorded(old)[0]
    same = old.origin == "told" and plan.context is None
    if same and sampling is not None and isinstance(sampling.picker, Greedy):
        raise SeedStoryError(
            "A re-roll would tell the same words: the likeliest one is always taken. Draw words "
            "(a temperature above 0), or edit the caption."
        )


def _with_opening_text(engine: Engine, story: Story, caption: str) -> Panel:
    """The opening with another caption, looked at by the engine as it looks at any opening's."""
    old = story.panels[0]
    opening = Opening(caption, old.image, story.run, story.characters)
    new = engine.start(opening).panels[0]
    return replace(old, caption=new.caption, text=new.text)


def _in_place(engine: Engine, story: Story, index: int, new: Panel, plan: How) -> Story:
    """``story`` with ``new`` instead of panel ``index``."""
    before = replace(story, panels=story.panels[:index], closing=None)
    return _followed(engine, story, before, new, story.panels[index + 1 :], plan)


def _followed(
    engine: Engine, story: Story, before: Story, new: Panel, later: Sequence[Panel], plan: How
) -> Story:
    """``before``, ``new`` and the ``later`` panels of ``story``, which stay or are told anew."""
    if plan.later == KEEP:
        return chained(story, (*before.panels, new, *later))
    changed = chained(before, (*before.panels, new))
    plan.on_panel(changed)
    return _retold(engine, changed, later, plan)


def _retold(engine: Engine, story: Story, later: Sequence[Panel], plan: How) -> Story:
    """``story`` and as many panels as ``later`` has, each told as that was; fewer if it ends."""
    for old in later:
        if old.origin == "opening":  # of a joined story: given, so it stays
            story = chained(story, (*story.panels, old))
            continue
        given = old.caption if old.origin == "illustrated" else None
        longer = tell_next(engine, story, given, old, old.seed or 0, plan)
        if len(longer) == len(story):
            return longer
        was: dict[str, Json] = {"caption": old.caption}
        *before, panel = longer.panels
        story = with_panel(
            replace(longer, panels=tuple(before)), noted(panel, "retell", old, **was)
        )
        plan.on_panel(story)
    return story
