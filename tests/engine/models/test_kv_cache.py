"""Ownership of cache ranges: what is written, seen, given up and copied."""

from concurrent.futures import ThreadPoolExecutor
from threading import get_ident

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acdc.engine.models.kv_buffers import Buffers
from acdc.engine.models.kv_cache import KVCache, bucket, gather


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_write_copies_no_more_than_what_is_new(dtype: torch.dtype) -> None:
    """The buffers are large, and a pass writes a token."""
    cache = KVCache(layers=3, rows=2, heads=2, capacity=64, head_dim=4, dtype=dtype)
    new = torch.ones(3, 2, 2, 1, 4, dtype=dtype)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as seen:
        cache.put(new, -new)
        cache.write(1, new[0], -new[0], cache.positions(1))
    sizes = [shape for event in seen.events() for shape in event.input_shapes if event.name == "aten::copy_"]
    assert all(torch.Size(shape).numel() <= new.numel() for shape in sizes), sizes
    assert cache.keys[:, :, :, 0].eq(1).all()
    assert cache.values[:, :, :, 0].eq(-1).all()
    assert not cache.keys[:, :, :, 1:].any()


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


def test_over_capacity_is_refused_with_numbers() -> None:
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


def test_buffers_come_back_to_the_thread_that_used_them():
    buffers, places = Buffers(), {}
    caches = [KVCache(1, 1, 1, 4, 2, buffers=buffers) for _ in range(4)]

    def give_back(cache: KVCache) -> None:
        places[get_ident()] = cache.keys.data_ptr()
        cache.release()

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        for pool, cache in zip((one, other, one, other), caches, strict=True):
            pool.submit(give_back, cache).result()
        for pool in (one, other):
            made = pool.submit(lambda: (get_ident(), KVCache(1, 1, 1, 4, 2, buffers=buffers).keys.data_ptr()))
            thread, place = made.result()
            assert place == places[thread], "its own, the one that came back last"


def full_cache(rows: int, seed: int = 0) -> KVCache:
    """Rows of 1, 2, ... slots of random numbers."""
    cache = KVCache(2, rows, 1, 9, 2)
    for buffer in (cache.keys, cache.values):
        buffer.copy_(torch.randn(buffer.shape, generator=torch.Generator().manual_seed(seed)))
    cache.advance([row + 1 for row in range(rows)])
    return cache


def test_a_view_is_the_same_memory_with_lengths_of_its_own():
    cache = full_cache(4)
    view = cache.view(slice(1, None, 2))
    assert (view.rows, view.owned, view.lengths.tolist()) == (2, [2, 4], [2, 4])
    view.put(torch.full((2, 2, 1, 1, 2), 7.0), torch.full((2, 2, 1, 1, 2), 8.0))
    view.advance([1, 1])
    assert cache.keys[:, 1, :, 2].eq(7).all()
    assert cache.values[:, 3, :, 4].eq(8).all()
    assert cache.lengths.tolist() == cache.owned == [1, 2, 3, 4]
    cache.release()
    assert view.keys[:, 0, :, 2].eq(7).all()


def test_the_last_release_gives_the_buffers_back():
    buffers = Buffers()
    cache = KVCache(1, 2, 1, 4, 2, buffers=buffers)
    place, views = cache.keys.data_ptr(), [cache.view(slice(row, None, 2)) for row in range(2)]
    for held in (views[0], cache):
        held.release()
        assert KVCache(1, 2, 1, 4, 2, buffers=buffers).keys.data_ptr() != place
    views[1].release()
    assert KVCache(1, 2, 1, 4, 2, buffers=buffers).keys.data_ptr() == place


@pytest.mark.parametrize(
    ("parts", "capacity", "released", "same"),
    [
        ([0, 1, 2], 9, True, True),
        ([0, 1, 2], 9, False, False),  # the cache is still in use
        ([0, 2, 1], 9, True, False),
        ([0, 1], 9, True, False),
        ([0, 1, None], 9, True, False),
        ([0, 1, 2], 8, True, False),
        ([0, 1, 2, 2], 9, True, False),
    ],
)
def test_views_are_gathered_where_they_lie_if_they_are_all_of_a_cache(parts, capacity, released, same):
    """Two branches of three stories; whichever way, the rows are the stories' own."""
    cache = full_cache(6)
    keys, place = cache.keys.clone(), cache.keys.data_ptr()
    views = [cache.view(slice(story, None, 3)) for story in range(3)]
    if released:
        cache.release()
    chosen = [None if part is None else views[part] for part in parts]
    whole = gather(chosen, capacity, lambda size: KVCache(2, 2 * len(parts), 1, size, 2))
    assert (whole.keys.data_ptr() == place) == same
    assert whole.capacity == capacity
    for at, part in enumerate(parts):
        for branch in range(2):
            row, owned = branch * len(parts) + at, 0 if part is None else branch * 3 + part + 1
            assert whole.owned[row] == whole.lengths[row] == owned
            if part is not None:
                assert torch.equal(whole.keys[:, row, :, :owned], keys[:, branch * 3 + part, :, :owned])
