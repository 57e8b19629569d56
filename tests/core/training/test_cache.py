"""Caches of what frozen models make."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from seedstory_core.errors import SeedStoryError
from seedstory_core.training import cache
from seedstory_core.training.cache import Rows, Shuffled, cached_rows, key_of
from seedstory_core.training.stage import quiet

COUNT, SHAPE = 25, (2, 3)
VALUES = torch.arange(COUNT * 6, dtype=torch.float32).view(COUNT, *SHAPE)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SHARD", 10)
    monkeypatch.setattr(cache, "AT_ONCE", 4)


class Source:
    """Computes rows and remembers which."""

    def __init__(self, factor: float = 1) -> None:
        self.asked: list[tuple[int, int]] = []
        self.factor = factor

    def __call__(self, start: int, end: int) -> Tensor:
        self.asked.append((start, end))
        return VALUES[start:end] * self.factor


def rows_of(folder: Path, source: Source, key: str = "k" * 20) -> Rows:
    return cached_rows(folder, "rows", key, COUNT, SHAPE, source, quiet)


def test_rows_come_back_in_any_order(tmp_path: Path) -> None:
    source = Source()
    rows = rows_of(tmp_path, source)
    places = torch.tensor([24, 0, 9, 10, 10, 19, 20])
    assert rows.take(places).equal(VALUES[places])
    assert (len(rows), rows.shape) == (COUNT, SHAPE)
    assert source.asked[0] == (0, 4) and source.asked[-1] == (24, 25)


def test_nothing_is_computed_twice(tmp_path: Path) -> None:
    rows_of(tmp_path, Source())
    again = Source()
    assert rows_of(tmp_path, again).take(torch.arange(COUNT)).equal(VALUES)
    assert again.asked == []


def test_other_weights_make_other_rows(tmp_path: Path) -> None:
    rows_of(tmp_path, Source())
    rows = rows_of(tmp_path, Source(2), key="other weights, other key")
    assert rows.take(torch.arange(COUNT)).equal(VALUES * 2)


def test_a_stopped_run_goes_on_behind_its_whole_shards(tmp_path: Path) -> None:
    def stop(done: int, total: int, note: str) -> None:
        if done > 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_rows(tmp_path, "rows", "k" * 20, COUNT, SHAPE, Source(), stop)
    source = Source()
    rows = rows_of(tmp_path, source)
    assert source.asked[0] == (10, 14)
    assert rows.take(torch.arange(COUNT)).equal(VALUES)


def test_a_damaged_shard_is_made_anew(tmp_path: Path) -> None:
    rows_of(tmp_path, Source())
    shards = sorted(tmp_path.rglob("*.npy"))
    shards[0].write_bytes(shards[0].read_bytes()[:-20])
    np.save(shards[1], np.zeros((3, 3), np.float16))
    source = Source()
    assert rows_of(tmp_path, source).take(torch.arange(COUNT)).equal(VALUES)
    assert source.asked[0] == (0, 4) and (20, 24) not in source.asked


@pytest.mark.parametrize("factor", [float("nan"), 1e6])
def test_numbers_that_fp16_cannot_hold_are_refused(tmp_path: Path, factor: float) -> None:
    with pytest.raises(SeedStoryError, match="fp16"):
        rows_of(tmp_path, Source(factor))
    assert not list(tmp_path.rglob("*.npy"))


def test_keys_differ_by_every_source(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(b"one")
    first = key_of(weights, "data")
    assert first == key_of(weights, "data") != key_of(weights, "other")
    assert key_of("ab", "c") != key_of("a", "bc")
    weights.write_bytes(b"two")
    assert first != key_of(weights, "data")


def test_every_place_comes_once_an_epoch() -> None:
    order = Shuffled(10, 0, "test")
    drawn = torch.cat([order.take(step, 4) for step in range(5)])
    assert drawn[:10].sort().values.equal(torch.arange(10))
    assert drawn[10:].sort().values.equal(torch.arange(10))
    assert not drawn[:10].equal(drawn[10:])
    assert Shuffled(10, 0, "test").take(3, 4).equal(drawn[12:16])
