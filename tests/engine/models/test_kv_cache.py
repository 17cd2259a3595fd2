"""Ownership of cache ranges: what is written, seen, given up and copied."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acdc.engine.models.kv_cache import Buffers, KVCache, bucket


def new_cache(rows: int = 2, capacity: int = 10) -> KVCache:
    return KVCache(layers=1, rows=rows, heads=1, capacity=capacity, head_dim=1, dtype=torch.float64)


def feed(cache: KVCache, values: list[list[float]], counts: list[int] | None = None) -> torch.Tensor:
    """Write the rows' values as keys; -> the keys that a query may look at, [rows, S]."""
    new = torch.tensor(values, dtype=torch.float64)[:, None, :, None]
    seen, _ = cache.write(0, new, -new, cache.positions(new.shape[2]))
    cache.advance(counts or [new.shape[2]] * cache.rows)
    return seen[:, 0, :, 0]


def owned(cache: KVCache) -> list[list[float]]:
    return [cache.keys[0, row, 0, :length, 0].tolist() for row, length in enumerate(cache.owned)]


def test_the_worked_example_of_the_docstring() -> None:
    cache = new_cache()
    feed(cache, [[1, 2, 3], [11, 12, 0]], counts=[3, 2])
    for step in (4.0, 5.0, 6.0):
        feed(cache, [[step], [10 + step]])
    assert cache.lengths.tolist() == cache.owned == [6, 5]
    assert owned(cache) == [[1, 2, 3, 4, 5, 6], [11, 12, 14, 15, 16]]
    cache.truncate([3, 2])
    feed(cache, [[7, 8, 9, 10, 99], [17, 18, 19, 20, 99]])
    assert cache.lengths.tolist() == [8, 7]
    assert owned(cache) == [[1, 2, 3, 7, 8, 9, 10, 99], [11, 12, 17, 18, 19, 20, 99]]


def test_a_query_sees_its_row_up_to_itself() -> None:
    cache = new_cache()
    feed(cache, [[1, 2, 3], [4, 0, 0]], counts=[3, 1])
    seen = cache.mask(cache.positions(2))[:, 0].long()
    assert seen.tolist() == [[[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0]]]


@given(st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=2).filter(max), min_size=1, max_size=6))
def test_any_sequence_of_ragged_writes_keeps_each_row_whole(counts: list[list[int]]) -> None:
    cache, wanted = new_cache(capacity=40), [[], []]
    for number, pair in enumerate(counts, 1):
        values = [[float(10 * number + t) for t in range(max(pair))] for _ in pair]
        feed(cache, values, counts=pair)
        wanted = [have + row[:count] for have, row, count in zip(wanted, values, pair, strict=True)]
    assert owned(cache) == wanted
    assert cache.lengths.tolist() == cache.owned


def test_fork_is_independent_and_can_choose_rows() -> None:
    cache = new_cache()
    feed(cache, [[1, 2], [3, 4]])
    copy, second = cache.fork(), cache.fork([1])
    feed(copy, [[5], [6]])
    assert owned(cache) == [[1, 2], [3, 4]]
    assert owned(copy) == [[1, 2, 5], [3, 4, 6]]
    assert owned(second) == [[3, 4]]


def test_truncate_never_lengthens_and_reset_empties() -> None:
    cache = new_cache()
    feed(cache, [[1, 2], [3, 4]], counts=[2, 1])
    cache.truncate([1, 9])
    assert cache.owned == [1, 1]
    cache.reset()
    assert cache.lengths.tolist() == [0, 0]


def test_over_capacity_is_told_with_numbers() -> None:
    cache = new_cache(capacity=4)
    feed(cache, [[1, 2, 3], [1, 2, 3]])
    with pytest.raises(ValueError, match="2 tokens after 3 exceed the cache's capacity of 4"):
        cache.positions(2)


def test_written_views_share_the_buffer() -> None:
    cache = new_cache()
    assert feed(cache, [[1, 2], [3, 4]]).data_ptr() == cache.keys.data_ptr()


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_buckets_hold_what_was_asked_for(capacity, limit):
    found = bucket(capacity, limit)
    assert found >= capacity
    if capacity <= limit:
        assert found <= limit
        assert found % 128 == 0 or found == limit
    else:
        assert found == capacity


def test_released_buffers_serve_the_next_cache_as_zeros():
    buffers = Buffers()
    one, two = (KVCache(1, 2, 1, 4, 2, buffers=buffers) for _ in range(2))
    places = {one.keys.data_ptr(), one.values.data_ptr()}
    assert places.isdisjoint({two.keys.data_ptr(), two.values.data_ptr()})
    one.keys.fill_(float("nan"))
    copy = one.fork([1])
    assert copy.keys.shape[1] == 1
    assert copy.keys.isnan().all()
    one.release()
    again = KVCache(1, 2, 1, 4, 2, buffers=buffers)
    assert {again.keys.data_ptr(), again.values.data_ptr()} == places
    assert not again.keys.any(), "what a story left must not reach the next"
    again.release()
    assert KVCache(1, 2, 1, 4, 2, torch.float64, buffers=buffers).keys.dtype == torch.float64
    assert KVCache(1, 2, 1, 8, 2, buffers=buffers).capacity == 8
    assert not hasattr(one, "keys"), "nobody goes on with buffers that another may hold"


def test_buffers_that_are_not_released_stay_their_holders():
    buffers = Buffers()
    held = KVCache(1, 1, 1, 4, 2, buffers=buffers).keys
    assert KVCache(1, 1, 1, 4, 2, buffers=buffers).keys.data_ptr() != held.data_ptr()


def test_few_buffers_are_kept():
    buffers = Buffers(kept=2)
    caches = [KVCache(1, 1, 1, 4, 2, buffers=buffers) for _ in range(5)]
    places = [cache.keys.data_ptr() for cache in caches]
    for cache in caches:
        cache.release()
    again = [KVCache(1, 1, 1, 4, 2, buffers=buffers) for _ in range(2)]
    assert {cache.keys.data_ptr() for cache in again} == set(places[-2:]), "the last ones that came back"


def test_buffers_made_in_inference_mode_serve_outside_of_it():
    buffers = Buffers()
    with torch.inference_mode():
        KVCache(1, 1, 1, 4, 2, buffers=buffers).release()
    KVCache(1, 1, 1, 4, 2, buffers=buffers).keys.fill_(1)
