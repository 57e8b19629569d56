"""Latents and features of all pictures, computed once by frozen models and kept in the run folder.

A cache lies in ``<run>/cache/<name>-<key>/`` in shards of fp16 rows. The key covers the weights and
the data, so that what was made from others is never read; a shard is whole or absent, so that a
stopped run goes on where it was and two runs at once do no harm.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import SeedStoryError
from ..files import atomic_write_bytes, sha256_of
from .stage import Progress, generator_of

SHARD = 8192  # rows
AT_ONCE = 64  # rows computed in one pass
KEY_LETTERS = 16


class Rows:
    """Rows of one shape, read from their files when asked for.

    Attributes:
        shape: of one row.
    """

    def __init__(self, shards: Sequence[np.ndarray]) -> None:
        self._shards = list(shards)
        self._count = sum(map(len, self._shards))
        self.shape = tuple(self._shards[0].shape[1:])

    def __len__(self) -> int:
        return self._count

    def take(self, places: Tensor) -> Tensor:
        """Rows at ``places`` int64 [B] -> fp32 [B, ...]."""
        wanted = places.numpy()
        out = np.empty((len(wanted), *self.shape), np.float16)
        shards = wanted // SHARD
        for shard in np.unique(shards):
            here = shards == shard
            out[here] = self._shards[shard][wanted[here] % SHARD]
        return torch.from_numpy(out).float()


def key_of(*sources: str | Path) -> str:
    """Hex digest over texts and the contents of files."""
    digest = hashlib.sha256()
    for source in sources:
        text = sha256_of(source) if isinstance(source, Path) else source
        digest.update(f"{len(text)}:{text}".encode())
    return digest.hexdigest()


def cached_rows(
    folder: Path,
    name: str,
    key: str,
    count: int,
    shape: tuple[int, ...],
    compute: Callable[[int, int], Tensor],
    progress: Progress,
) -> Rows:
    """The rows ``compute(start, end)`` gives, from files where they are, else computed and kept.

    Args:
        folder: the run's cache folder.
        key: of `key_of`; another key is another cache.
        compute: rows ``start`` to ``end``, [end - start, *shape]; called in order.
        progress: may raise to stop; whole shards are kept.

    Raises:
        SeedStoryError: there is nothing to compute, or a row is too large for fp16.
    """
    if count < 1:
        raise SeedStoryError(f"There is no picture to compute {name} of. Check the data folder.")
    place = folder / f"{name}-{key[:KEY_LETTERS]}"
    shards = []
    for start in range(0, count, SHARD):
        end = min(start + SHARD, count)
        path = place / f"{start // SHARD:05d}.npy"
        if not _whole(path, (end - start, *shape)):
            _write(path, start, end, shape, compute, lambda at: progress(at, count, name))
        shards.append(np.load(path, mmap_mode="r", allow_pickle=False))
    return Rows(shards)


def _whole(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether ``path`` holds fp16 of this shape, all of it."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return False
    return found.shape == shape and found.dtype == np.float16


def _write(
    path: Path,
    start: int,
    end: int,
    shape: tuple[int, ...],
    compute: Callable[[int, int], Tensor],
    report: Callable[[int], None],
) -> None:
    values = np.empty((end - start, *shape), np.float16)
    for first in range(start, end, AT_ONCE):
        report(first)
        last = min(first + AT_ONCE, end)
        rows = compute(first, last).detach().float().cpu()
        if rows.shape != (last - first, *shape) or not rows.half().isfinite().all():
            raise SeedStoryError(
                f"Rows {first} to {last} for {path.parent.name} have the shape "
                f"{list(rows.shape)} or numbers that fp16 cannot hold; expected "
                f"{[last - first, *shape]}, all finite. The stage before has not learnt well."
            )
        values[first - start : last - start] = rows.numpy()
    report(end)
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    atomic_write_bytes(path, buffer.getbuffer())


class Shuffled:
    """Places 0..count - 1, each once an epoch in an order of the seed's; needs no state."""

    def __init__(self, count: int, *key: int | str) -> None:
        self.count = count

        @lru_cache(maxsize=2)
        def order(epoch: int) -> Tensor:
            return torch.randperm(count, generator=generator_of(*key, "epoch", epoch))

        self._order = order

    def take(self, step: int, batch: int) -> Tensor:
        """The places of batch number ``step``, int64 [batch]."""
        at = torch.arange(step * batch, (step + 1) * batch)
        epochs = at // self.count
        chosen = [
            self._order(int(epoch))[at[epochs == epoch] % self.count] for epoch in epochs.unique()
        ]
        return torch.cat(chosen)
