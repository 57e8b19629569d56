"""Read checkpoints of any official form, one tensor at a time, without running their code.

Safetensors (one file, or shards with an index) and PyTorch pickles (likewise), told apart by their
first bytes. Both are mapped, not read: a tensor costs memory when its values are used. Pickles go
through torch's restricted unpickler, which knows tensors and containers and refuses all else.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import SeedStoryError
from ..strict_json import read_json
from ..world import inside
from .first_bytes import SAFETENSORS, check_safetensors, form_of
from .pickles import damaged, read_pickle

MAX_INDEX = 64 << 20  # bytes; an index of shards larger than this is not one
INDEX_SUFFIX = ".index.json"
#: Names of files of weights in a folder, the better forms first.
SUFFIXES = (
    (f".safetensors{INDEX_SUFFIX}",), (f".bin{INDEX_SUFFIX}",), (".safetensors", ".sft"),
    (".bin", ".pt", ".pth", ".ckpt"),
)  # fmt: skip
_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip


class Checkpoint(Protocol):
    """Named tensors in a file or a set of files."""

    path: Path

    def keys(self) -> list[str]:
        """All names, in the file's order."""
        ...

    def shape(self, key: str) -> tuple[int, ...]: ...

    def dtype(self, key: str) -> torch.dtype: ...

    def tensor(self, key: str) -> Tensor:
        """The tensor in its file's dtype, on the CPU; a mapped view where the format allows."""
        ...


class _Safetensors:
    def __init__(self, path: Path) -> None:
        self.path = path
        check_safetensors(path)
        try:
            self._file = safe_open(path, framework="pt")
            self._keys = list(self._file.keys())
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            raise damaged(path, error) from error

    def keys(self) -> list[str]:
        return list(self._keys)

    def shape(self, key: str) -> tuple[int, ...]:
        return tuple(self._file.get_slice(key).get_shape())

    def dtype(self, key: str) -> torch.dtype:
        name = self._file.get_slice(key).get_dtype()
        if name not in _DTYPES:
            raise SeedStoryError(
                f"{self.path}: {key} has the dtype {name}, which is not supported."
            )
        return _DTYPES[name]

    def tensor(self, key: str) -> Tensor:
        return self._file.get_tensor(key)


class _Pickle:
    def __init__(self, path: Path, form: str) -> None:
        self.path = path
        self._state = read_pickle(path, form)

    def keys(self) -> list[str]:
        return list(self._state)

    def shape(self, key: str) -> tuple[int, ...]:
        return tuple(self._state[key].shape)

    def dtype(self, key: str) -> torch.dtype:
        return self._state[key].dtype

    def tensor(self, key: str) -> Tensor:
        return self._state[key]


class _Shards:
    """Files named by an index; each opens when a tensor of it is asked for, few stay open."""

    def __init__(self, index: Path) -> None:
        self.path = index
        self._folder = index.parent
        self._where = _read_index(index)
        shards_of(index)  # refuses names that lead out of the folder
        self._open = lru_cache(maxsize=2)(lambda name: _open_file(inside(self._folder, name)))

    def keys(self) -> list[str]:
        return list(self._where)

    def shape(self, key: str) -> tuple[int, ...]:
        return self._shard(key).shape(key)

    def dtype(self, key: str) -> torch.dtype:
        return self._shard(key).dtype(key)

    def tensor(self, key: str) -> Tensor:
        return self._shard(key).tensor(key)

    def _shard(self, key: str) -> Checkpoint:
        name = self._where[key]
        if not inside(self._folder, name).is_file():  # only those in use must be there
            raise SeedStoryError(
                f"{self.path} says that {key} is in {name}, but that file is not beside it. "
                f"Download it into {self._folder}."
            )
        shard = self._open(name)
        if key not in shard.keys():
            raise SeedStoryError(
                f"{shard.path} lacks {key}, which {self.path.name} says it has. Download it again."
            )
        return shard


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint file, an index of shards, or a folder that holds one of them.

    Raises:
        SeedStoryError: missing, damaged, of unknown form, or a pickle that wants to run code.
    """
    if path.is_dir():
        path = _in_folder(path)
    if not path.is_file():
        raise SeedStoryError(f"There is no checkpoint at {path}.")
    if path.name.endswith(INDEX_SUFFIX):
        return _Shards(path)
    return _open_file(path)


def read_tensors(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a safetensors file under ``prefix``, mapped, with the prefix cut off.

    Raises:
        SeedStoryError: the file is missing, damaged, another kind of file, or has more tensors
            than a model.
    """
    check_safetensors(path)
    try:
        with safe_open(path, framework="pt") as file:
            keys = [key for key in file.keys() if key.startswith(prefix)]
            return {key.removeprefix(prefix): file.get_tensor(key) for key in keys}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise damaged(path, error) from error


def _open_file(path: Path) -> Checkpoint:
    form = form_of(path)
    return _Safetensors(path) if form == SAFETENSORS else _Pickle(path, form)


def _in_folder(folder: Path) -> Path:
    """The one checkpoint in ``folder``: an index before files, safetensors before pickles."""
    files = sorted(path for path in folder.iterdir() if path.name[0] != "." and path.is_file())
    for suffixes in SUFFIXES:
        found = [path for path in files if path.name.lower().endswith(suffixes)]
        if len(found) > 1:
            raise SeedStoryError(
                f"{folder} holds several checkpoints: {', '.join(p.name for p in found[:10])}. "
                "Name the one you mean."
            )
        if found:
            return found[0]
    there = ", ".join(path.name for path in files[:10]) or "no file"
    inner = sorted(path.name for path in folder.iterdir() if path.is_dir())[:10]
    below = f", and the folders {', '.join(inner)}: name the one with the weights" if inner else ""
    raise SeedStoryError(
        f"{folder} holds no checkpoint (.safetensors, .bin, .pt, .ckpt, or an index of shards). "
        f"There is {there}{below}."
    )


def _read_index(index: Path) -> dict[str, str]:
    data = read_json(index, MAX_INDEX, "It should be an index of shards. Download it again.")
    where = data.get("weight_map") if isinstance(data, dict) else None
    if not isinstance(where, dict) or not all(isinstance(name, str) for name in where.values()):
        raise SeedStoryError(
            f"{index} is not an index of shards: expected JSON with a weight_map of file names. "
            "Download it again."
        )
    return where


def shards_of(index: Path) -> list[Path]:
    """The files that an index of shards names, whether they are there or not."""
    return [inside(index.parent, name) for name in sorted(set(_read_index(index).values()))]
