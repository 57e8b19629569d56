"""The KV cache: growth, cropping, moving, and rows that count only when they are advanced."""

from __future__ import annotations

import pytest
import torch

from seedstory_core.errors import SeedStoryError
from seedstory_core.kv_cache import STEP, KvCache


def rows(start: int, count: int) -> torch.Tensor:
    """[1, 2, count, 4], row i filled with start + i."""
    return (torch.arange(count).float() + start)[None, None, :, None].expand(1, 2, count, 4)


def filled(*counts: int) -> KvCache:
    cache = KvCache(layers=2)
    for count in counts:
        for layer in range(2):
            cache.append(layer, rows(cache.length, count), -rows(cache.length, count))
        cache.advance(count)
    return cache


def values(cache: KvCache, layer: int = 0) -> list[float]:
    return cache.rows(layer)[0][0, 0, :, 0].tolist()


@pytest.mark.parametrize("counts", [(1,), (3, 1, 5), (STEP, 1), (STEP - 1, 2, STEP)])
def test_appended_rows_stay_in_order_while_it_grows(counts: tuple[int, ...]) -> None:
    cache = filled(*counts)
    assert cache.length == sum(counts)
    for layer in range(2):
        keys, minus = cache.rows(layer)
        assert keys[0, 1, :, 3].tolist() == list(range(cache.length))
        assert torch.equal(minus, -keys)


def test_append_returns_old_and_new_rows() -> None:
    keys, _ = filled(3).append(0, rows(3, 2), rows(3, 2))
    assert keys[0, 0, :, 0].tolist() == [0, 1, 2, 3, 4]


def test_rows_do_not_count_until_they_are_advanced() -> None:
    cache = filled(3)
    cache.append(0, rows(90, 2), rows(90, 2))  # a forward that is cancelled after layer 0
    assert values(cache) == [0, 1, 2]
    for layer in range(2):
        cache.append(layer, rows(3, 1), rows(3, 1))
    cache.advance(1)
    assert values(cache, 0) == values(cache, 1) == [0, 1, 2, 3]


def test_crop_keeps_the_beginning_and_what_follows_replaces_the_rest() -> None:
    cache = filled(6)
    cache.crop(2)
    for layer in range(2):
        cache.append(layer, rows(50, 1), rows(50, 1))
    cache.advance(1)
    assert values(cache) == [0, 1, 50]


@pytest.mark.parametrize("length", [-1, 4])
def test_crop_beyond_the_rows_is_refused(length: int) -> None:
    with pytest.raises(SeedStoryError, match="3 rows"):
        filled(3).crop(length)


def test_memory_is_reported_and_bounded_by_the_step() -> None:
    cache = filled(STEP + 1)
    assert (
        cache.nbytes == 2 * 2 * (2 * STEP) * 2 * 4 * 4
    )  # layers, k and v, rows, heads, width, f32
    assert KvCache(2).nbytes == 0


def test_moving_to_the_same_device_copies_nothing() -> None:
    cache = filled(3)
    before = cache.rows(0)[0].data_ptr()
    assert cache.to(torch.device("cpu")).rows(0)[0].data_ptr() == before


def test_moving_keeps_rows_only_and_can_grow_again() -> None:
    cache = filled(3).to(torch.device("meta"))
    assert cache.rows(0)[0].shape == (1, 2, 3, 4)
    assert cache.nbytes == 2 * 2 * 3 * 2 * 4 * 4


def test_a_cache_filled_in_inference_mode_goes_on_outside_of_it() -> None:
    with torch.inference_mode():
        cache = filled(3)
    for layer in range(2):
        cache.append(layer, rows(3, 1), rows(3, 1))
    cache.advance(1)
    assert values(cache) == [0, 1, 2, 3]


def test_rows_of_an_empty_layer_are_an_error() -> None:
    with pytest.raises(SeedStoryError, match="no rows"):
        KvCache(1).rows(0)
