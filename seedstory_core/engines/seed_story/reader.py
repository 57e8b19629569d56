"""The LLM's memory of what it has read, kept from panel to panel.

Derived state: dropping it costs time, never a result. Every row of the KV cache is remembered by
what it was made from, a token id, or a picture's digest and the slot's number. (Image tokens have
the same ids in every story, so ids alone would mix up pictures.) A new prompt keeps the rows on
which it agrees with the last one; that is exact, since a row depends on nothing behind it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from ...kv_cache import KvCache
from .config import LlmConfig
from .mllm import Mllm

Key = int | tuple[str, int]


@dataclass(frozen=True)
class Page:
    """A prompt ready to be read.

    Attributes:
        ids: token ids.
        keys: what each row is made from.
        features: by digest, picture features [L, D] on any device.
    """

    ids: tuple[int, ...]
    keys: tuple[Key, ...]
    features: Mapping[str, Tensor]


def page(ids: Sequence[int], slots: Sequence[int], pictures: Sequence[Tensor]) -> Page:
    """Pair the image slots in ``ids`` with ``pictures`` ([L, D] each), in order.

    ``slots`` are the image tokens' ids in order; the first of them begins a picture.
    """
    digests = [digest(features) for features in pictures]
    number = {id: place for place, id in enumerate(slots)}
    keys: list[Key] = []
    picture = -1
    for id in ids:
        place = number.get(id)
        picture += place == 0
        keys.append(id if place is None else (digests[picture], place))
    assert picture == len(pictures) - 1, "as many image spans as pictures"
    return Page(tuple(ids), tuple(keys), dict(zip(digests, pictures, strict=True)))


def digest(features: Tensor) -> str:
    """sha256 over the values, shape and dtype of ``features``."""
    flat = features.detach().cpu().contiguous().reshape(-1)  # any shape -> its elements in order
    head = f"{features.dtype}{list(features.shape)}".encode()
    return hashlib.sha256(head + flat.view(torch.uint8).numpy().tobytes()).hexdigest()


class Reader:
    """Reads pages and tokens with an `Mllm`; keeps one KV cache.

    Attributes:
        keys: what each kept row was made from.
    """

    def __init__(self, config: LlmConfig) -> None:
        self._config = config
        self._identity: Hashable = None
        self._cache = KvCache(config.layers)
        self.keys: list[Key] = []

    @property
    def nbytes(self) -> int:
        """Memory that the kept cache holds."""
        return self._cache.nbytes

    def bytes_for(self, rows: int, dtype: torch.dtype) -> int:
        """Memory for a cache of ``rows`` rows and for the widest values while they are read."""
        config = self._config
        cached = 2 * config.layers * config.kv_heads * config.head_width
        passing = 4 * config.width + 3 * config.mlp_width
        return (cached + passing) * rows * dtype.itemsize

    def park(self) -> None:
        """Move the kept cache to the CPU."""
        self._cache.to(torch.device("cpu"))

    def forget(self) -> None:
        """Drop the kept cache."""
        self._cache, self.keys = KvCache(self._config.layers), []

    def begin(self, keys: Sequence[Key], identity: Hashable, device: torch.device) -> int:
        """Keep the rows that a prompt of ``keys`` begins with, all but its last at most.

        Args:
            identity: whatever else the rows depend on; another one drops them all.

        Returns: the number of rows kept.
        """
        if identity != self._identity:
            self.forget()
            self._identity = identity
        agreed, limit = 0, min(len(keys) - 1, len(self.keys), self._cache.length)
        while agreed < limit and keys[agreed] == self.keys[agreed]:
            agreed += 1
        del self.keys[agreed:]
        self._cache.crop(agreed)
        self._cache.to(device)
        return agreed

    def read_page(self, llm: Mllm, text: Page, like: Tensor) -> Tensor:
        """Read the rest of ``text`` behind the kept rows; device and dtype are those of ``like``.

        Returns: [L, D], hidden states of the rows that were read.
        """
        start = len(self.keys)
        rest = text.keys[start:]
        wanted = {key[0] for key in rest if isinstance(key, tuple)}
        rows = {
            name: llm.input_resampler(features[None].to(like.device, like.dtype))[0]
            for name, features in text.features.items()
            if name in wanted
        }
        pictures = [rows[key[0]][key[1]] for key in rest if isinstance(key, tuple)]
        embeds = llm.embed(
            torch.tensor([text.ids[start:]], device=like.device),
            torch.tensor([[isinstance(key, tuple) for key in rest]], device=like.device),
            torch.stack(pictures) if pictures else like.new_empty(0, self._config.width),
            like.dtype,
        )
        return self._read(llm, embeds, rest)

    def read_ids(self, llm: Mllm, ids: Sequence[int], like: Tensor) -> Tensor:
        """Read generated tokens, image tokens as plain ones -> hidden states [L, D]."""
        none = torch.zeros(1, len(ids), dtype=torch.bool, device=like.device)
        pictures = like.new_empty(0, self._config.width)
        row = torch.tensor([list(ids)], device=like.device)
        return self._read(llm, llm.embed(row, none, pictures, like.dtype), ids)

    def _read(self, llm: Mllm, embeds: Tensor, keys: Sequence[Key]) -> Tensor:
        start = len(self.keys)
        positions = torch.arange(start, start + len(keys), device=embeds.device)
        hidden = llm(embeds, positions, self._cache)
        self.keys += keys
        return rearrange(hidden, "1 l d -> l d")


class ReadingSpeaker:
    """`decoding.Speaker` over a `Reader` that has read the prompt."""

    def __init__(self, reader: Reader, llm: Mllm, like: Tensor) -> None:
        self._reader, self._llm, self._like = reader, llm, like

    def read(self, ids: Sequence[int]) -> Tensor:
        """Generated tokens -> their hidden states [L, D]."""
        return self._reader.read_ids(self._llm, ids, self._like)

    def scores(self, hidden: Tensor) -> Tensor:
        """Hidden state [D] -> next-token scores [V], fp32 on the CPU."""
        return self._llm.scores(hidden[None])[0].cpu()
