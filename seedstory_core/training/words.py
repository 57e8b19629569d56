"""A tokenizer for a world's own captions: sentencepiece, small, every common word one piece.

Files have the layout of the released model's tokenizer. ``[INST]`` is ordinary text to the engine;
here it is one piece of the sentencepiece vocabulary, so that a turn costs one token, not five.
"""

from __future__ import annotations

import io
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from ..engines.seed_story.config import SeedStoryConfig
from ..engines.seed_story.prompt import BEGIN, END, SLOT, TURN
from ..engines.seed_story.tokenizer import SPACE, Tokenizer
from ..errors import SeedStoryError
from ..files import atomic_write_bytes, atomic_write_json

MAX_CAPTIONS = 20_000  # to train on; a small world has said all its words by then
SMALLEST, STEP, LARGEST = 640, 64, 32_000  # pieces that are tried
WHOLE = 0.98  # share of words (as often as they occur) that shall be one piece each
SPECIAL = {"<unk>": 0, "<s>": 1, "</s>": 2}


def train_words(
    captions: Iterable[str], folder: Path, image_tokens: int, pieces: int = 0
) -> Tokenizer:
    """Train a tokenizer and write ``folder``; the same captions give the same bytes.

    Args:
        image_tokens: slots of a picture, ``<img_00000>`` and so on.
        pieces: size of the vocabulary without image tokens; 0 finds the smallest that says nearly
            every word in one piece.

    Raises:
        SeedStoryError: there are no captions, or one has the engine's own marks in it.
    """
    lines = _lines(captions)
    model = _model(lines, pieces) if pieces else _smallest(lines)
    atomic_write_bytes(folder / "tokenizer.model", model)
    processor = SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)
    _write_settings(folder, processor.get_piece_size(), image_tokens)
    return Tokenizer.from_folder(folder)


def with_words(sizes: SeedStoryConfig, tokenizer: Tokenizer) -> SeedStoryConfig:
    """``sizes`` with a vocabulary as large as the tokenizer's."""
    return replace(sizes, llm=replace(sizes.llm, vocab=len(tokenizer)))


def _lines(captions: Iterable[str]) -> list[str]:
    """Training sentences: different captions, as openings and behind ``[INST]``."""
    different = list(dict.fromkeys(" ".join(caption.split()) for caption in captions))
    kept = [caption for caption in different if caption][:MAX_CAPTIONS]
    if not kept:
        raise SeedStoryError("There is no caption to learn words from. Check the data folder.")
    marks = (TURN, BEGIN, END, "<img_")
    wrong = next((text for text in kept if any(mark in text for mark in marks)), None)
    if wrong is not None:
        raise SeedStoryError(
            f"The caption {wrong!r:.120} contains one of {', '.join(marks)}, which the model uses "
            "as marks. Take them out of the captions."
        )
    return [line for caption in kept for line in (caption, TURN + caption)]


def _model(lines: Sequence[str], pieces: int) -> bytes:
    buffer = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=buffer,
        vocab_size=pieces,
        hard_vocab_limit=False,
        model_type="bpe",
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        max_sentence_length=1 << 16,
        user_defined_symbols=[SPACE + TURN],
        required_chars=string.ascii_letters + string.digits + string.punctuation,
        num_threads=1,
        minloglevel=2,
    )
    return buffer.getvalue()


def _smallest(lines: Sequence[str]) -> bytes:
    """The model with the smallest vocabulary that says nearly all words in one piece each."""
    words = Counter(word for line in lines for word in _words(line))
    total, model = words.total(), b""
    for pieces in range(SMALLEST, LARGEST, STEP):
        model = _model(lines, pieces)
        processor = SentencePieceProcessor()
        processor.LoadFromSerializedProto(model)
        whole = sum(count for word, count in words.items() if len(processor.encode(word)) == 1)
        if whole >= WHOLE * total or processor.get_piece_size() < pieces:
            break  # enough, or BPE has nothing left to join
    return model


def _words(line: str) -> list[str]:
    """Words without the punctuation around them, those behind ``[INST]`` left out."""
    text = "" if line.startswith(TURN) else line
    return [word for word in (part.strip(string.punctuation) for part in text.split()) if word]


def _write_settings(folder: Path, pieces: int, image_tokens: int) -> None:
    """The JSON files beside the model, as transformers 4.34 writes them."""
    names = [BEGIN, END, *(SLOT.format(index) for index in range(image_tokens))]
    added = {token: pieces + index for index, token in enumerate(names)}
    plain = {"normalized": False, "lstrip": False, "rstrip": False, "single_word": False}
    swallows = {**plain, "normalized": True, "lstrip": True, "rstrip": True}
    decoder = {
        **{str(id): {"content": text, **plain, "special": True} for text, id in SPECIAL.items()},
        **{str(id): {"content": text, **swallows, "special": False} for text, id in added.items()},
    }
    roles = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>", "unk_token": "<unk>"}
    settings = {
        "add_bos_token": True,
        "add_eos_token": False,
        "added_tokens_decoder": decoder,
        "additional_special_tokens": [],
        "clean_up_tokenization_spaces": False,
        "legacy": True,
        "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer",
        **roles,
    }
    atomic_write_json(folder / "added_tokens.json", dict(sorted((SPECIAL | added).items())))
    atomic_write_json(folder / "tokenizer_config.json", settings)
    atomic_write_json(folder / "special_tokens_map.json", roles)
