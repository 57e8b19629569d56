"""New names as words of their own.

A small world's tokenizer has the words of its own captions; a name that is not among them is spelt,
letter by letter, and a few dozen captions do not teach what follows on letters: "Olive and Olive".
So such a name becomes one token, as in textual inversion (Gal et al. 2022, section 4), and begins
as a blend of the tokens that the base world itself expects where the name stands: other names.
"""

from __future__ import annotations

import json
import re
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from ..engines.seed_story.config import SeedStoryConfig
from ..engines.seed_story.prompt import Vocabulary
from ..engines.seed_story.tokenizer import SPACE, Tokenizer
from ..errors import SeedStoryError
from ..files import atomic_write_bytes, atomic_write_json
from ..world import World

SPELT = 3  # pieces, and more: a word that is spelt
SAID = 3  # times a word is in the captions, at least, to be learnt as one
MOST = 32  # new words
BLENDED = 8  # tokens that a new one begins as a blend of
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
ROLES = {
    "tokenizer.model": "tokenizer.model",
    "tokenizer.added_tokens": "added_tokens.json",
    "tokenizer.config": "tokenizer_config.json",
    "tokenizer.special_tokens_map": "special_tokens_map.json",
}
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Words:
    """The words of a world that is adapted.

    Attributes:
        config: sizes, the vocabulary's with the new words.
        first, count: ids of the new tokens; ids of the base behind ``first`` have moved on.
        folder: of the grown tokenizer; None where nothing is new.
    """

    config: SeedStoryConfig
    vocabulary: Vocabulary
    first: int = 0
    count: int = 0
    folder: Path | None = None

    @property
    def new(self) -> slice:
        """Ids of the new tokens."""
        return slice(self.first, self.first + self.count)

    def grown(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The base's LLM with a row for every new token, zeros until `begin` has filled them."""
        state = dict(state)
        for name in (EMBEDDING, HEAD) if self.count else ():
            rows = state[name]
            new = rows.new_zeros(self.count, rows.shape[1])
            state[name] = torch.cat((rows[: self.first], new, rows[self.first :]))
        return state


def spelt_words(captions: Iterable[str], tokenizer: Tokenizer) -> tuple[str, ...]:
    """Words that the captions say again and again and the tokenizer has to spell."""
    said = Counter(word for caption in captions for word in _WORD.findall(caption))
    spelt = [
        word
        for word, times in said.most_common()
        if times >= SAID and len(tokenizer.encode(word)) >= SPELT
    ]
    return tuple(spelt[:MOST])


def grow(world: World, base: Words, words: Sequence[str], folder: Path) -> Words:
    """``base`` with ``words`` as tokens; the grown tokenizer's files are written to ``folder``.

    A word becomes two pieces, one for behind a space and one for where a turn begins.

    Raises:
        SeedStoryError: a word is none, or there are too many.
    """
    tokenizer = base.vocabulary.tokenizer
    wrong = [word for word in words if _WORD.fullmatch(word) is None]
    if wrong or len(words) > MOST:
        raise SeedStoryError(
            f"New words are at most {MOST} words of letters alone; got {len(words)}"
            f"{f', {wrong[0]!r:.60} among them' if wrong else ''}."
        )
    forms = [form for word in words for form in (SPACE + word, word)]
    forms = [form for form in forms if not tokenizer.has_piece(form)]
    if not forms:
        return base
    first = tokenizer.pieces
    model = world.file("tokenizer.model").read_bytes() + b"".join(map(_piece, forms))
    atomic_write_bytes(folder / ROLES["tokenizer.model"], model)
    for role, name in ROLES.items():
        if role != "tokenizer.model" and role in world.files:
            data = json.loads(world.file(role).read_text(encoding="utf-8"))
            atomic_write_json(folder / name, _moved_on(data, first, len(forms)))
    size = base.config.llm.vocab + len(forms)
    config = replace(base.config, llm=replace(base.config.llm, vocab=size))
    vocabulary = Vocabulary(Tokenizer.from_folder(folder), config.image_tokens, size)
    return Words(config, vocabulary, first, len(forms), folder)


def begin(module: Any, words: Words, batches: Iterable[Mapping[str, Tensor]], kept: Path) -> None:
    """Fill the rows of new tokens: each a blend of what the base expects in its place.

    Args:
        module: a `TellingModule` of the grown LLM; ``batches`` as it reads them.
        kept: file that keeps the rows, so that a resumed training begins with the same.
    """
    tables = {EMBEDDING: module.mllm.model.embed_tokens.weight, HEAD: module.mllm.lm_head.weight}
    if not kept.is_file():
        expected = _expected(module, words, batches)  # [count, V]
        rows = {name: (expected @ table.float()).cpu() for name, table in tables.items()}
        atomic_write_bytes(kept, save(rows))
    rows = load_file(kept)
    with torch.no_grad():
        for name, table in tables.items():
            table[words.new] = rows[name].to(table)


@torch.no_grad()
def _expected(module: Any, words: Words, batches: Iterable[Mapping[str, Tensor]]) -> Tensor:
    """What the base expects where each new token stands: weights [count, V], a row's sum is 1.

    The mean of log-probabilities: a token that is likely in every such place, not in some.
    """
    head = module.mllm.lm_head.weight
    sums = torch.zeros(words.count, len(head), device=head.device)
    places = torch.zeros(words.count, 1, device=head.device)
    for batch in batches:
        hidden = module.hidden(batch)
        likely = module.mllm.lm_head(hidden[batch["said"]]).float()
        likely[:, words.new] = -torch.inf
        rows = batch["labels"] - words.first
        here = (rows >= 0) & (rows < words.count)
        sums.index_add_(0, rows[here], likely[here].log_softmax(-1))
        places.index_add_(0, rows[here], torch.ones_like(likely[here][:, :1]))
    every = sums.sum(0, keepdim=True) / places.sum().clamp(min=1)
    mean = torch.where(places > 0, sums / places.clamp(min=1), every)
    best = mean.topk(BLENDED, dim=-1)
    return torch.zeros_like(sums).scatter(1, best.indices, best.values.softmax(-1))


def _piece(text: str) -> bytes:
    """One more piece of a sentencepiece model, always cut whole: protobuf of
    ModelProto{pieces {piece: text, score: 0, type: USER_DEFINED}}. Messages merge by
    concatenation, so these bytes behind a model add it to its pieces."""
    name = text.encode()
    body = b"\x0a" + _varint(len(name)) + name + b"\x15" + struct.pack("<f", 0.0) + b"\x18\x04"
    return b"\x0a" + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _moved_on(data: dict[str, Any], first: int, count: int) -> dict[str, Any]:
    """A tokenizer's JSON file with ids from ``first`` on larger by ``count``."""

    def moved(id: Any) -> int:
        return int(id) + count if int(id) >= first else int(id)

    if "added_tokens_decoder" in data:
        decoder = data["added_tokens_decoder"]
        return {**data, "added_tokens_decoder": {str(moved(id)): v for id, v in decoder.items()}}
    if all(isinstance(value, int) for value in data.values()):
        return {text: moved(id) for text, id in data.items()}
    return data
