"""How a story grows: by what the LLM has told, or by a painted picture that is read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from ...story import FED_BACK, GIVEN, append
from ...types import Json, Panel, Story
from .features import SPACE
from .prompt import TURN, Vocabulary, clean, display
from .telling import Told


def with_told(
    story: Story,
    told: Told,
    words: Vocabulary,
    given: str | None,
    seed: int,
    how: Mapping[str, Json],
) -> Story:
    """``story`` with what was told, as a panel or, where there is no picture, as closing words.

    Args:
        given: the caption where it was the user's.
        how: the panel's provenance; its ``reference`` says which prompts were laid out.
    """
    said = clean(words.tokenizer.decode(told.ids))
    if told.features is None:
        return replace(story, closing=display(said))
    text = said if given is None else (given if how["reference"] else TURN + given)
    forced: dict[str, Json] = {}
    if told.would_write_on is not None:
        forced["would_write_on"] = told.would_write_on
    panel = Panel(
        caption=display(text),
        text=text,
        origin="told" if given is None else "illustrated",
        token_ids=told.ids,
        features={SPACE: told.features},
        seed=seed if given is None else None,
        provenance={**how, **forced},
    )
    return append(story, panel)


def fed_back(story: Story, image: Tensor, features: Tensor) -> Story:
    """``story`` whose last panel has a picture, and its features for later panels to follow."""
    *before, panel = story.panels
    known = {key: value for key, value in panel.provenance.items() if key != GIVEN}
    read = replace(
        panel,
        image=image,
        features={**panel.features, SPACE: features},
        provenance={**known, FED_BACK: True},
    )
    earlier = replace(story, panels=tuple(before), closing=None)
    return replace(append(earlier, read), closing=story.closing)
