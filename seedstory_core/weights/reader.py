"""Read checkpoints of any official form, one tensor at a time, without running their code.

Safetensors (one file, or shards with an index) and PyTorch pickles (likewise). Both are mapped, not
read: a tensor costs memory when its values are used. Pickles go through torch's restricted
unpickler, which knows tensors and containers and refuses everything else.
"""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import SeedStoryError
from ..world import inside

# What torch's unpickler raises on bytes that are no pickle, or not a whole one.
_MALFORMED = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError,
    AssertionError, struct.error, zipfile.BadZipFile,
)  # fmt: skip
MAX_INDEX = 64 << 20  # bytes; an index of shards larger than this is not one
WRAPPERS = ("state_dict", "module", "model")
INDEX_SUFFIX = ".index.json"
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
        try:
            self._file = safe_open(path, framework="pt")
            self._keys = list(self._file.keys())
        except (SafetensorError, OSError) as error:
            raise _damaged(path, error) from error

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
    def __init__(self, path: Path) -> None:
        self.path = path
        self._state = _tensors(_unpickle(path), path)

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
        for name in set(self._where.values()):
            inside(self._folder, name)  # refuses names that lead out of it
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


def _open_file(path: Path) -> Checkpoint:
    return _Safetensors(path) if path.suffix == ".safetensors" else _Pickle(path)


def _in_folder(folder: Path) -> Path:
    """The one checkpoint in ``folder``: an index before files, safetensors before pickles."""
    for pattern in (f"*.safetensors{INDEX_SUFFIX}", f"*.bin{INDEX_SUFFIX}", "*.safetensors",
                    "*.bin", "*.pt", "*.pth"):  # fmt: skip
        found = sorted(folder.glob(pattern))
        if len(found) > 1:
            raise SeedStoryError(
                f"{folder} holds several checkpoints: {', '.join(p.name for p in found[:10])}. "
                "Name the one you mean."
            )
        if found:
            return found[0]
    raise SeedStoryError(f"{folder} holds no checkpoint (.safetensors, .bin, .pt, or an index).")


def _read_index(index: Path) -> dict[str, str]:
    if index.stat().st_size > MAX_INDEX:
        raise SeedStoryError(f"{index} is larger than {MAX_INDEX} bytes; not an index of shards.")
    try:
        where = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return {str(key): str(name) for key, name in where.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SeedStoryError(
            f"{index} is not an index of shards (JSON with a weight_map): {error!r}"
        ) from error


def _unpickle(path: Path) -> Any:
    """The pickle's content through torch's restricted unpickler, mapped where it is a zip."""
    try:
        return torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except pickle.UnpicklingError as error:
        raise SeedStoryError(
            f"{path} is a pickle with more in it than tensors. Loading it could run code, so it is "
            f"refused. Save the state dict alone, or as safetensors. ({_first_line(error)})"
        ) from error
    except _MALFORMED as error:
        raise _damaged(path, error) from error


def _tensors(loaded: Any, path: Path) -> dict[str, Tensor]:
    for wrapper in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping) or not loaded:
        raise SeedStoryError(
            f"{path} holds a {type(loaded).__name__}, not a dictionary of tensors."
        )
    other = [str(key) for key, value in loaded.items() if not isinstance(value, Tensor)]
    if other:
        raise SeedStoryError(
            f"{path} holds {len(other)} entries that are no tensors: {', '.join(other[:10])}. "
            "Save the model's state dict alone."
        )
    return {str(key): value for key, value in loaded.items()}


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]


def _damaged(path: Path, error: Exception) -> SeedStoryError:
    size = path.stat().st_size if path.is_file() else 0
    return SeedStoryError(
        f"{path} ({size} bytes) cannot be read as a checkpoint; it is damaged, cut short, or "
        f"something else. Download or copy it again. ({_first_line(error)})"
    )
