"""A vocabulary without language: every id is one word, so that captions keep their exact ids.

Random weights say random ids. A real tokenizer would cut the text of these into other ids, and
every panel would be read anew; a trained model says what its tokenizer cuts alike. ``[INST]`` is
written as nothing here, since random weights do not say it before each caption as trained ones do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..engines.seed_story.prompt import BEGIN, END, SLOT
from ..engines.seed_story.tokenizer import AddedToken, Tokenizer

UNKNOWN, BOS, EOS, FIRST = 0, 1, 2, 3
_TOKEN = re.compile(r"<[^<>]*>|w\d+")


class NumberWords(Tokenizer):
    """Ids 0 to 2 are special, then come words, and last the marks and slots of pictures.

    Args:
        vocab: number of ids.
        image_tokens: slots of a picture.
    """

    def __init__(self, vocab: int, image_tokens: int) -> None:
        self.source = Path("bench")
        self.bos, self.eos = BOS, EOS
        marks = [BEGIN, END, *(SLOT.format(i) for i in range(image_tokens))]
        self.first_mark = vocab - len(marks)
        self._texts = [*(f"w{id}" for id in range(self.first_mark)), *marks]
        self._ids = {text: id for id, text in enumerate(self._texts)}
        self._added = {text: AddedToken(text, self._ids[text]) for text in marks}

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def added(self) -> Mapping[str, AddedToken]:
        """Marks and slots by text."""
        return self._added

    def id_of(self, token: str) -> int:
        """The id of a word or mark."""
        return self._ids.get(token, UNKNOWN)

    def encode(self, text: str) -> list[int]:
        """Ids of the words and marks in ``text``; all else is nothing."""
        return [self._ids[token] for token in _TOKEN.findall(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """Words and marks with spaces between."""
        return " ".join([self._texts[id] for id in ids])

    def caption(self, length: int, generator: torch.Generator) -> str:
        """A random caption of ``length`` words."""
        ids = torch.randint(FIRST, self.first_mark, (length,), generator=generator)
        return self.decode(ids.tolist())


@dataclass(frozen=True)
class WithoutEnd:
    """A picker: the likeliest token of text. A cap on the caption's length ends it, in all modes.

    Attributes:
        begin, eos: never picked.
    """

    begin: int
    eos: int

    def pick(self, scores: Tensor, generator: torch.Generator) -> int:
        """``scores``: [V] -> id."""
        kept = scores.clone()
        kept[[self.begin, self.eos]] = -torch.inf
        return int(kept.argmax())


@dataclass(frozen=True)
class Drawn:
    """A picker: words by their scores, so that stories of other seeds differ; nothing but words.

    Attributes:
        first: the first id from which on all are marks; ``eos`` is no word either.
    """

    first: int
    eos: int

    def pick(self, scores: Tensor, generator: torch.Generator) -> int:
        """``scores``: [V] -> id."""
        kept = scores.clone()
        kept[self.first :] = kept[self.eos] = -torch.inf
        return int(kept.softmax(-1).multinomial(1, generator=generator))
