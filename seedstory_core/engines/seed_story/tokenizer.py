"""The reference's tokenizer, on sentencepiece alone.

Prompts must be cut into exactly the ids the model was trained with: those of the slow
``LlamaTokenizer`` of transformers 4.34.0. Later versions treat spaces beside added tokens in
another way, so the rules are kept here (tests compare with ids recorded from 4.34.0).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceProcessor

from ...errors import SeedStoryError
from ...strict_json import read_json, read_small, shown, whole

SPACE = "\u2581"  # how sentencepiece writes a space
MAX_JSON = 16 << 20  # bytes; no tokenizer file of a 32,000 word vocabulary is larger
MAX_MODEL = 64 << 20  # bytes; one of 256,000 pieces takes 4 MB
MAX_ADDED, MAX_ID, MAX_TOKEN = 10_000, (1 << 22) - 1, 1000  # tokens, their ids, their letters

# Protobuf of ModelProto{normalizer_spec{add_dummy_prefix: false}}. Messages merge by concatenation,
# so these bytes behind a model switch the dummy prefix off, as 4.34.0 does when legacy is false.
NO_DUMMY_PREFIX = b"\x1a\x02\x18\x00"


@dataclass(frozen=True)
class AddedToken:
    """A token beside the sentencepiece vocabulary; may swallow the spaces to its left and right."""

    text: str
    id: int
    lstrip: bool = True
    rstrip: bool = True


class Tokenizer:
    """Text <-> ids.

    Args:
        model: ``tokenizer.model``.
        added: ``added_tokens.json``, text -> id.
        config: ``tokenizer_config.json``; its ``added_tokens_decoder`` overrides ``added``.
        special_map: ``special_tokens_map.json``, asked for what ``config`` does not say.

    Raises:
        SeedStoryError: a file is missing, damaged, or contradicts another.
    """

    def __init__(
        self,
        model: Path,
        added: Path | None = None,
        config: Path | None = None,
        special_map: Path | None = None,
    ) -> None:
        settings = {**_read_json(special_map), **_read_json(config)}
        self.source = model.parent
        self.legacy = settings.get("legacy") is not False  # absent and null mean true
        self._sp = _load(model, self.legacy)
        bos, self._unk, eos = (
            _text(settings.get(f"{role}_token")) or default
            for role, default in (("bos", "<s>"), ("unk", "<unk>"), ("eos", "</s>"))
        )
        extra = _extra(settings)
        special = [bos, self._unk, eos, _text(settings.get("pad_token")), *extra]
        self._special = {token for token in special if token}
        self._tokens = self._added_tokens(_read_json(added), settings)
        self._by_id = {token.id: token.text for token in self._tokens.values()}
        self._apart = (self._tokens.keys() - self._special) | {
            token for token in extra if token and self.id_of(token) >= self._sp.get_piece_size()
        }
        longest_first = sorted(map(re.escape, self._tokens), key=len, reverse=True)
        self._split = re.compile(f"({'|'.join(longest_first)})") if longest_first else None
        self._unk_pieces = len(self._sp.encode(self._unk, out_type=str))
        self.bos, self.eos = self.id_of(bos), self.id_of(eos)

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """The tokenizer in a folder of Hugging Face's layout."""
        names = ("added_tokens.json", "tokenizer_config.json", "special_tokens_map.json")
        found = [folder / name if (folder / name).is_file() else None for name in names]
        return cls(folder / "tokenizer.model", *found)

    def __len__(self) -> int:
        """Number of ids, added ones included; the model's embedding must have as many rows."""
        return len(set(range(self._sp.get_piece_size())) | set(self._by_id))

    @property
    def added(self) -> Mapping[str, AddedToken]:
        """All added tokens by text, special ones included."""
        return self._tokens

    @property
    def pieces(self) -> int:
        """Size of the sentencepiece vocabulary, which ids begin with."""
        return self._sp.get_piece_size()

    def has_piece(self, text: str) -> bool:
        """Whether ``text`` is one piece; `SPACE` stands for a space."""
        return self._sp.piece_to_id(text) != self._sp.unk_id()

    def id_of(self, token: str) -> int:
        """The id of one token, the unknown token's id where it is none."""
        known = self._tokens.get(token)
        return self._sp.piece_to_id(token) if known is None else known.id

    def encode(self, text: str) -> list[int]:
        """Ids of ``text`` without BOS and EOS; tokens written out in it become their ids."""
        if not self.legacy and text:
            text = SPACE + text.replace(SPACE, " ")
        tokens: list[str] = []
        for part in self._parts(text):
            tokens.extend([part] if part in self._tokens else self._pieces(part))
        if not self.legacy and len(tokens) > 1 and tokens[0] == SPACE:
            tokens = tokens[1:] if tokens[1] in self._special else tokens
        return [self.id_of(token) for token in tokens]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ``ids``, special tokens included; a space stands on each side of added tokens."""
        texts: list[str] = []
        run: list[str] = []
        for id in ids:
            token = self._by_id[id] if id in self._by_id else self._sp.id_to_piece(id)
            if token in self._apart:
                texts += [*filter(None, [self._join(run)]), token]
                run = []
            else:
                run.append(token)
        return " ".join([*texts, self._join(run)] if run else texts)

    def _added_tokens(
        self, added: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> dict[str, AddedToken]:
        """By text; lstrip and rstrip are true for plain tokens that nothing more is known of."""
        tokens = {}
        decoder = _decoder(settings)
        if len(added) + len(decoder) > MAX_ADDED:
            raise SeedStoryError(
                f"{self.source} adds {len(added) + len(decoder)} tokens to its vocabulary; at most "
                f"{MAX_ADDED} are read. {_HELP}"
            )
        for text, id in added.items():
            text = _text(text)
            swallows = text not in self._special
            tokens[text] = AddedToken(text, _id(id, text), swallows, swallows)
        for id, entry in decoder.items():
            text = _text(entry)
            tokens[text] = AddedToken(
                text, _id(id, text), bool(entry.get("lstrip")), bool(entry.get("rstrip"))
            )
        for text in self._special - tokens.keys():
            tokens[text] = AddedToken(text, self._sp.piece_to_id(text), False, False)
        ids = [token.id for token in tokens.values()]
        if len(set(ids)) != len(ids):
            raise SeedStoryError(f"{self.source}: two added tokens share an id. {_HELP}")
        return tokens

    def _parts(self, text: str) -> list[str]:
        """``text`` cut at added tokens, with the spaces gone that those swallow; none is empty."""
        parts = self._split.split(text) if self._split else [text]
        for i, part in enumerate(parts):
            token = self._tokens.get(part)
            if token is not None and token.rstrip and i + 1 < len(parts):
                parts[i + 1] = parts[i + 1].lstrip()
            if token is not None and token.lstrip and i > 0:
                parts[i - 1] = parts[i - 1].rstrip()
        return [part for part in parts if part]

    def _pieces(self, text: str) -> list[str]:
        """Sentencepiece's cut of text without added tokens."""
        if self.legacy or not text.startswith((SPACE, " ")):
            return self._sp.encode(text, out_type=str)
        pieces = self._sp.encode(self._unk + text, out_type=str)  # or it would eat the space
        return pieces[self._unk_pieces :]

    def _join(self, tokens: list[str]) -> str:
        """Text of a run of pieces and special tokens; the space before a special leads the run."""
        if not tokens:
            return ""
        text, pieces, after_special = "", [], False
        for i, token in enumerate([tokens[0].removeprefix(SPACE), *tokens[1:]]):
            if token in self._special:
                text += " " if not after_special and i and self.legacy else ""
                text += self._sp.decode(pieces) + token
                pieces, after_special = [], True
            else:
                pieces.append(token)
                after_special = False
        return text + self._sp.decode(pieces)


_HELP = "Copy the tokenizer folder of the released model again."


def _load(model: Path, legacy: bool) -> SentencePieceProcessor:
    if not model.is_file():
        raise SeedStoryError(f"There is no sentencepiece model at {model}. {_HELP}")
    raw = read_small(model, MAX_MODEL, _HELP)
    try:
        suffix = b"" if legacy else NO_DUMMY_PREFIX
        processor = SentencePieceProcessor()
        processor.LoadFromSerializedProto(raw + suffix)
        for number in range(processor.get_piece_size()):
            processor.id_to_piece(number)  # refuses pieces that are no text
    except (RuntimeError, ValueError) as error:
        raise SeedStoryError(f"{model} is not a sentencepiece model: {error} {_HELP}") from error
    if not processor.get_piece_size():  # it takes no bytes at all for a model without pieces
        raise SeedStoryError(f"{model} has no pieces. {_HELP}")
    return processor


def _read_json(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    data = read_json(path, MAX_JSON, _HELP)
    if not isinstance(data, dict):
        raise SeedStoryError(f"{path} holds a {type(data).__name__}, not an object. {_HELP}")
    return data


def _text(token: Any) -> str:
    """A token as files write it, a string or ``{"content": string}`` -> the string."""
    if isinstance(token, Mapping):
        token = token.get("content")
    if isinstance(token, str) and len(token) > MAX_TOKEN:
        raise SeedStoryError(f"An added token has {len(token)} letters, at most {MAX_TOKEN} are "
                             f"read: {shown(token)}. {_HELP}")  # fmt: skip
    return token if isinstance(token, str) else ""


def _decoder(settings: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """``added_tokens_decoder``: ``{id: {"content": text, "lstrip": ...}}``."""
    entries = settings.get("added_tokens_decoder") or {}
    if not isinstance(entries, Mapping) or not all(
        isinstance(entry, Mapping) for entry in entries.values()
    ):
        raise SeedStoryError(
            f"'added_tokens_decoder' of tokenizer_config.json must be an object of objects, got "
            f"{shown(entries)}. {_HELP}"
        )
    return entries


def _extra(settings: Mapping[str, Any]) -> list[str]:
    """``additional_special_tokens``, a list."""
    tokens = settings.get("additional_special_tokens") or []
    if not isinstance(tokens, list):
        raise SeedStoryError(
            f"'additional_special_tokens' must be a list of tokens, got {shown(tokens)}. {_HELP}"
        )
    return [_text(token) for token in tokens]


def _id(id: Any, text: str) -> int:
    """The id of an added token, a number or its digits."""
    if isinstance(id, str) and id.isdecimal() and id.isascii() and len(id) < 10:
        id = int(id)
    return whole(id, f"The id of the added token {text!r:.80}", 0, MAX_ID)
