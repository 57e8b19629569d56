"""Panels -> token ids and image slots. The prompt's format and its special tokens live here only.

A prompt in the layout the model was trained with, three panels told, n image tokens a picture::

    <s> caption0 <img>..</img> [INST]caption1 <img>..</img> [INST]caption2 <img>..</img>

The model goes on with ``[INST]caption3 <img>..</img></s>``. Between ``<img>`` and ``</img>`` the
embeddings of the n image tokens are replaced by rows made from that panel's picture features.

Layouts are pure functions of the panels' texts and the context policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

from ...context import ContextPolicy
from ...errors import SeedStoryError
from .tokenizer import Tokenizer

TURN = "[INST]"
BEGIN, END = "<img>", "</img>"
SLOT = "<img_{:05d}>"
MAX_LETTERS = 100_000  # of a caption, more than any context of the model holds
REMEMBERED = 4096  # texts whose ids are kept, as each prompt has most in common with the last


@dataclass(frozen=True)
class Prompt:
    """What the LLM reads.

    Attributes:
        ids: token ids, BOS included where the layout has one.
        pictures: the panel whose picture fills each image span, in order of the spans.
    """

    ids: tuple[int, ...]
    pictures: tuple[int, ...]


class Vocabulary:
    """The tokenizer, and the special tokens of ``image_tokens`` image slots by name.

    Raises:
        SeedStoryError: one of these tokens is missing, or the vocabulary is not as large as the
            model's embedding (``rows``).
    """

    def __init__(self, tokenizer: Tokenizer, image_tokens: int, rows: int) -> None:
        wanted = [BEGIN, END, *(SLOT.format(i) for i in range(image_tokens))]
        missing = [token for token in wanted if token not in tokenizer.added]
        if missing:
            raise SeedStoryError(
                f"The tokenizer in {tokenizer.source} lacks {len(missing)} of the {len(wanted)} "
                f"tokens that pictures are told with: {', '.join(missing[:4])}"
                f"{' ...' if len(missing) > 4 else ''}. Use the tokenizer that was released with "
                "the model (cvlm_llama2_tokenizer), not a plain Llama one."
            )
        if len(tokenizer) != rows:
            raise SeedStoryError(
                f"The tokenizer in {tokenizer.source} has {len(tokenizer)} tokens, but the model "
                f"{rows} embedding rows. They belong to different models: use the tokenizer that "
                "was released with this model."
            )
        self.tokenizer = tokenizer
        self.bos, self.eos = tokenizer.bos, tokenizer.eos
        self.begin, self.end, *slot_ids = (tokenizer.id_of(token) for token in wanted)
        self.slots = tuple(slot_ids)
        self.image = "".join((BEGIN, *wanted[2:], END))
        self.behind_picture = lru_cache(REMEMBERED)(self._behind_picture)

    @cached_property
    def slot_set(self) -> frozenset[int]:
        return frozenset(self.slots)

    def _behind_picture(self, text: str) -> tuple[int, ...]:
        """Ids of ``text`` as the model says it, which is never at a prompt's beginning."""
        ids = self.tokenizer.encode(END + text)
        return tuple(ids[ids.index(self.end) + 1 :])

    def check_caption(self, caption: str, what: str) -> str:
        """``caption`` stripped, if it has words and none of the model's own marks.

        Raises:
            SeedStoryError: it is empty, far too long, or holds a special token (which would not be
                read as text).
        """
        if len(caption) > MAX_LETTERS:
            raise SeedStoryError(
                f"The {what} has {len(caption)} letters; at most {MAX_LETTERS} are read. Shorten "
                "it, or split it into several panels."
            )
        caption = caption.strip().removeprefix(TURN).strip()
        if not caption:
            raise SeedStoryError(f"The {what} is empty. Write at least a word.")
        marks = [token for token in self.tokenizer.added if token in caption]
        if marks:
            raise SeedStoryError(
                f"The {what} contains {', '.join(map(repr, marks[:4]))}, which the model uses as "
                "marks and cannot read as text. Take them out."
            )
        return caption


def clean(raw: str) -> str:
    """Decoded model output -> text, as the scripts do (gen_george.py:196): tags go, with anything
    else between angle brackets; ``[INST]`` stays.

    >>> clean("[INST]George ran. <img> <img_00000> </img> </s>")
    '[INST]George ran.'
    """
    parts, at = [], 0
    while (start := raw.find("<", at)) >= 0 and (end := raw.find(">", start)) >= 0:
        parts.append(raw[at:start].rstrip())
        at = end + 1
        while raw[at : at + 1].isspace():
            at += 1
    return " ".join([*parts, raw[at:]]).strip()


def bare(text: str) -> str:
    """``text`` without one leading ``[INST]``."""
    return text.removeprefix(TURN)


def display(text: str) -> str:
    """Cleaned model text as readers see it.

    >>> display("[INST]George ran.")
    'George ran.'
    """
    return text.replace(TURN, " ").strip()


class Layout(Protocol):
    """How panels become a prompt."""

    def prompt(
        self, words: Vocabulary, texts: Sequence[str], policy: ContextPolicy, caption: str | None
    ) -> Prompt:
        """The prompt after panels with these ``texts``, one or more.

        ``caption`` is the text of the panel to come when it is given; the prompt ends with it.
        """
        ...


@dataclass(frozen=True)
class Trained:
    """The layout of the training data: BOS always, ``[INST]`` before all panels in view but the
    first, whatever the texts begin with."""

    def prompt(
        self, words: Vocabulary, texts: Sequence[str], policy: ContextPolicy, caption: str | None
    ) -> Prompt:
        first = policy.first_visible(len(texts))
        oldest, *others = (bare(text) + words.image for text in texts[first:])
        ids = [words.bos, *words.tokenizer.encode(oldest)]
        for text in (*others, *([caption] if caption is not None else ())):
            ids += words.behind_picture(TURN + text)  # a picture's end cuts the text
        return Prompt(tuple(ids), tuple(range(first, len(texts))))


@dataclass(frozen=True)
class BlindCut:
    """gen_george.py:231-247: texts as they are; an evicted panel takes six more characters along,
    whether they are ``[INST]`` or not (SPEC quirk 7)."""

    def prompt(
        self, words: Vocabulary, texts: Sequence[str], policy: ContextPolicy, caption: str | None
    ) -> Prompt:
        assert caption is None, "gen_george.py knows no given captions"
        text, first = "", 0
        for told, panel in enumerate(texts, start=1):
            text += panel + words.image
            while first < policy.first_visible(told):
                text = text[text.index(END) + len(END) + len(TURN) :]
                first += 1
        ids = (words.bos, *words.tokenizer.encode(text))
        return Prompt(ids, _counted(words, ids, first, len(texts)))


@dataclass(frozen=True)
class Appended:
    """vis_george_sink.py:232-263: ids are appended panel by panel, without ``[INST]``; eviction
    cuts them behind the first ``</img>``, so BOS is lost with the first panel (SPEC quirk 11)."""

    def prompt(
        self, words: Vocabulary, texts: Sequence[str], policy: ContextPolicy, caption: str | None
    ) -> Prompt:
        assert caption is not None, "vis_george_sink.py is given all captions"
        encode = words.tokenizer.encode
        captions = [*texts, caption]
        ids = [words.bos, *encode(captions[0] + words.image + captions[1])]
        first = 0
        for told in range(2, len(captions)):
            ids += encode(words.image + captions[told])
            while first < policy.first_visible(told):
                ids = ids[ids.index(words.end) + 1 :]
                first += 1
        return Prompt(tuple(ids), _counted(words, ids, first, len(texts)))


def _counted(words: Vocabulary, ids: Sequence[int], first: int, told: int) -> tuple[int, ...]:
    """Panels ``first`` to ``told``, if ``ids`` has a whole image span for each of them."""
    span = [id for id in ids if id in words.slot_set or id in (words.begin, words.end)]
    if span != [words.begin, *words.slots, words.end] * (told - first):
        raise SeedStoryError(
            f"The reference's cut went through a picture, as a panel's text is shorter than "
            f"{TURN!r}. Tell this story without the reference switch."
        )
    return tuple(range(first, told))
