"""Writes official-layout files of real shapes with seeded random weights, in little memory.

Large tensors are windows into one mapped pool of random numbers, at a place decided by the key's
name; so their pages belong to a file and torch.save streams them. The container, the key names, the
shapes and the dtypes are those of the released files; only the numbers are not.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path

import torch
from torch import Tensor

Shape = tuple[int, ...]
POOL = 1 << 29  # fp16 numbers
PIECE = 1 << 24
SMALL = 1 << 20  # tensors up to this size are made in memory
STD = 0.02  # of all matrices: residual streams stay far from fp16's limits
ROPE_THETA = 10000.0


class Pool:
    """A file of seeded normal fp16 numbers, mapped."""

    def __init__(self, path: Path) -> None:
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._size = len(self._map) // 2

    @classmethod
    def make(cls, path: Path, seed: int = 0, size: int = POOL) -> Pool:
        """Draw ``size`` numbers, in pieces, and map them."""
        generator = torch.Generator().manual_seed(seed)
        with open(path, "wb") as file:
            for _ in range(0, size, PIECE):
                numbers = torch.randn(min(PIECE, size), generator=generator) * STD
                file.write(memoryview(numbers.to(torch.float16).view(torch.uint8).numpy()))
        return cls(path)

    def window(self, key: str, shape: Shape) -> Tensor:
        """A tensor with its own storage over the mapped pages, different for every key."""
        count = prod(shape)
        digest = hashlib.sha256(key.encode()).digest()
        start = int.from_bytes(digest[:8], "big") % (self._size - count) & ~3
        return torch.frombuffer(
            self._map, dtype=torch.float16, count=count, offset=2 * start
        ).reshape(shape)


def official_shapes(keys_file: Path) -> dict[str, Shape]:
    """``{official key: shape}`` as recorded from the reference's classes."""
    return {key: tuple(shape) for key, shape in json.loads(keys_file.read_text())["keys"].items()}


def state(shapes: Mapping[str, Shape], pool: Pool) -> dict[str, Tensor]:
    """Random weights that stay finite: norms near 1, biases near 0, matrices of spread `STD`."""
    return {key: _tensor(key, shape, pool) for key, shape in shapes.items()}


def _tensor(key: str, shape: Shape, pool: Pool) -> Tensor:
    if key.endswith("inv_freq"):
        return (1 / ROPE_THETA ** (torch.arange(shape[0]) / shape[0])).half()
    if prod(shape) > SMALL:
        return pool.window(key, shape)
    drawn = pool.window(key, shape).clone()
    is_norm = key.endswith(".weight") and len(shape) == 1
    return drawn + 1 if is_norm else drawn


def write_checkpoint(
    path: Path, shapes: Mapping[str, Shape], pool: Pool, wrap: Callable[[dict], object] = dict
) -> int:
    """A torch zip pickle as the reference's training writes it; gives its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(wrap(state(shapes, pool)), path)
    return path.stat().st_size


def write_tokenizer(folder: Path, pieces: int = 32000) -> None:
    """A Llama-like tokenizer: ``pieces`` sentencepiece tokens and 66 added ones.

    The model file is built piece by piece in protobuf's wire format (ModelProto of sentencepiece),
    because training one of 32000 pieces would need a large text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(_sentencepiece(pieces))
    added = ["<img>", "</img>", *(f"<img_{i:05d}>" for i in range(64))]
    ids = {token: pieces + i for i, token in enumerate(added)}
    texts = {
        "added_tokens.json": ids,
        "special_tokens_map.json": {
            "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>",
        },
        "tokenizer_config.json": {
            "add_bos_token": True, "add_eos_token": False, "legacy": True,
            "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>",
            "tokenizer_class": "LlamaTokenizer", "model_max_length": 2048,
        },
    }  # fmt: skip
    for name, value in texts.items():
        (folder / name).write_text(json.dumps(value, indent=1))


def _sentencepiece(pieces: int) -> bytes:
    normal, unknown, control, byte = 1, 2, 3, 6
    table = [("<unk>", 0.0, unknown), ("<s>", 0.0, control), ("</s>", 0.0, control)]
    table += [(f"<0x{i:02X}>", 0.0, byte) for i in range(256)]
    letters = ["\u2581", *(chr(code) for code in range(33, 127))]
    words = [*letters, *(f"\u2581{letter}" for letter in letters[1:])]
    syllables = [a + b for a in "bcdfghjklmnpqrstvwxyz" for b in "aeiou"]
    words += [*syllables, *(f"\u2581{s}" for s in syllables)]
    pairs = (f"\u2581{a}{b}" for a in syllables for b in syllables)
    triples = (f"\u2581{a}{b}{c}" for a in syllables for b in syllables for c in syllables)
    words += [*pairs]
    seen = dict.fromkeys(words)
    for word in triples:
        if len(seen) + len(table) >= pieces:
            break
        seen.setdefault(word)
    table += [(word, -float(rank), normal) for rank, word in enumerate(seen)]
    body = b"".join(_field(1, _piece(*row)) for row in table[:pieces])
    trainer = _varint(3 << 3) + _varint(2)  # model_type: BPE
    trainer += _varint(35 << 3) + _varint(1)  # byte_fallback
    normalizer = _field(1, b"identity") + _varint(3 << 3) + _varint(1)  # add_dummy_prefix
    normalizer += _varint(4 << 3) + _varint(0) + _varint(5 << 3) + _varint(1)
    return body + _field(2, trainer) + _field(3, normalizer)


def _piece(text: str, score: float, kind: int) -> bytes:
    number = torch.tensor(score, dtype=torch.float32).numpy().tobytes()
    return _field(1, text.encode()) + _varint(2 << 3 | 5) + number + _varint(3 << 3) + _varint(kind)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])
