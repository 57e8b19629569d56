"""A story's captions as the model says them: what a sampling that bans repeats looks at."""

from __future__ import annotations

from collections.abc import Sequence

from ...repeats import NOTHING, Earlier
from ...types import Panel, Story
from .prompt import TURN, Vocabulary, bare, clean, display


class Captions:
    """Captions by the ids of one vocabulary."""

    def __init__(self, words: Vocabulary) -> None:
        self._words = words
        self._turn = words.behind_picture(TURN)
        self._unsaid = {*words.slots, words.begin, words.end, words.eos}

    def earlier(self, story: Story, size: int) -> Earlier:
        """The captions of ``story``, no ``size`` ids in a row of which may come again; 0: all may.

        All panels count, those out of view and given captions too.
        """
        if not size:
            return NOTHING
        captions = ((self._ids(panel), panel.caption) for panel in story.panels)
        return Earlier.index(captions, size, self._turn, self.spell)

    def spell(self, ids: Sequence[int]) -> str:
        """``ids`` as readers see them."""
        return display(clean(self._words.tokenizer.decode(ids)))

    def _ids(self, panel: Panel) -> Sequence[int]:
        """What the model said; of a caption that it was given, what it would have said."""
        if panel.origin != "told":
            return self._words.behind_picture(TURN + bare(panel.text))
        return [token for token in panel.token_ids if token not in self._unsaid]
