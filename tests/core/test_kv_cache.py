"""The KV cache: growth, cropping, evicting, moving, and rows that count only when advanced."""

from __future__ import annotations

import pytest
import torch

from seedstory_core.errors import SeedStoryError
from seedstory_core.kv_cache import STEP, Buffers, KvCache


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


def test_kept_rows_move_up_in_place_and_what_follows_comes_behind() -> None:
    cache = filled(9)
    before = cache.rows(0)[0].data_ptr(), cache.nbytes
    cache.keep([0, 1, 5, 6, 8])
    assert (cache.rows(0)[0].data_ptr(), cache.nbytes) == before
    assert values(cache, 0) == values(cache, 1) == [0, 1, 5, 6, 8]
    for layer in range(2):
        cache.append(layer, rows(50, 2), -rows(50, 2))
    cache.advance(2)
    cache.keep([1, 2, 6])
    assert values(cache) == [1, 5, 51] and torch.equal(cache.rows(1)[1], -cache.rows(1)[0])


@pytest.mark.parametrize("wanted", [[0, 0], [2, 1], [-1, 2], [1, 4], [4]])
def test_rows_to_keep_must_ascend_within_the_cache(wanted: list[int]) -> None:
    cache = filled(4)
    with pytest.raises(SeedStoryError, match="4 rows"):
        cache.keep(wanted)
    assert values(cache) == [0, 1, 2, 3]


def test_an_interrupted_eviction_leaves_an_empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = filled(4)
    keep = Buffers.keep

    def fail(self: Buffers, layer: int, rows: torch.Tensor) -> torch.Tensor:
        if layer == 1:
            raise KeyboardInterrupt
        return keep(self, layer, rows)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Buffers, "keep", fail)
        cache.keep([0, 2])
    assert cache.length == 0
    for layer in range(2):
        cache.append(layer, rows(7, 1), rows(7, 1))
    cache.advance(1)
    assert values(cache) == [7]
