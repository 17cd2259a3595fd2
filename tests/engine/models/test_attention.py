"""Masks of all caches mean the same, True = may be attended, and all attention backends compute the same."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from acdc.engine import models
from acdc.engine.models.attention import PRODUCTS, SDPA, TRITON, AttentionMetadata, Cache, KVView
from acdc.engine.models.kv_cache import KVCache
from acdc.engine.models.layers.rotary import Rotary
from acdc.engine.models.read_cache import EmptyCache, ReadCache
from acdc.engine.models.show_o.feed_pass import SegmentCache

HEADS, SIZE, CAPACITY = 2, 8, 9
ROPE = Rotary(SIZE, 32, 1e4)


class Case(NamedTuple):
    """A cache of one layer, whose row r owns ``lengths[r]`` slots, and ``new`` tokens for it."""

    lengths: list[int]
    new: int
    seed: int

    def tensors(self, count: int, slots: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        shape = (len(self.lengths), HEADS, slots, SIZE)
        return [torch.randn(shape, dtype=torch.float64, generator=generator) for _ in range(count)]


def written(case: Case) -> KVCache:
    cache = KVCache(1, len(case.lengths), HEADS, CAPACITY + 5, SIZE, torch.float64)
    keys, values = case.tensors(2, CAPACITY)
    cache.write(0, keys, values, cache.positions(CAPACITY))
    cache.advance(case.lengths)
    return cache


def held(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    keys, values = case.tensors(2, CAPACITY)
    return keys[None], values[None], torch.tensor(case.lengths)


def sees_a_row_up_to_itself(case: Case, row: int, query: int, slot: int) -> bool:
    return slot <= case.lengths[row] + query


def sees_owned_and_earlier(case: Case, row: int, query: int, slot: int) -> bool:
    return slot < case.lengths[row] if slot < CAPACITY else slot - CAPACITY <= query


def sees_owned_and_all_new(case: Case, row: int, query: int, slot: int) -> bool:
    return slot < case.lengths[row] or slot >= CAPACITY


class Kind(NamedTuple):
    """A cache's constructor, the slots that its docstring lets a query see, and the number of slots."""

    make: Callable[[Case], Cache]
    sees: Callable[[Case, int, int, int], bool]
    slots: Callable[[Case], int]


KINDS: dict[str, Kind] = {
    "KVCache": Kind(written, sees_a_row_up_to_itself, lambda case: max(case.lengths) + case.new),
    "EmptyCache": Kind(
        lambda case: EmptyCache(torch.device("cpu")),
        lambda case, row, query, slot: slot <= query,
        lambda case: case.new,
    ),
    "ReadCache": Kind(lambda case: ReadCache(*held(case)), sees_owned_and_earlier, lambda case: CAPACITY + case.new),
    "SegmentCache, a text": Kind(
        lambda case: SegmentCache(*held(case), causal=True), sees_owned_and_earlier, lambda case: CAPACITY + case.new
    ),
    "SegmentCache, a frame": Kind(
        lambda case: SegmentCache(*held(case), causal=False), sees_owned_and_all_new, lambda case: CAPACITY + case.new
    ),
}
CASES = st.builds(
    Case, st.lists(st.integers(0, CAPACITY), min_size=1, max_size=3), st.integers(1, 4), st.integers(0, 1000)
)


def rows_of(mask: Tensor, case: Case) -> Tensor:
    return mask.expand(len(case.lengths), -1, -1, -1)


def test_every_cache_of_the_package_is_in_the_table() -> None:
    found = set()
    for info in pkgutil.walk_packages(models.__path__, f"{models.__name__}."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if isinstance(value, type) and hasattr(value, "mask") and hasattr(value, "positions"):
                found.add(name)
    found -= {Cache.__name__, AttentionMetadata.__name__}
    assert found == {name.partition(",")[0] for name in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@given(case=CASES)
@settings(deadline=None, max_examples=40)
def test_true_means_that_a_slot_may_be_attended(kind: str, case: Case) -> None:
    make, sees, slots = KINDS[kind]
    cache = make(case)
    positions = cache.positions(case.new)
    mask = cache.mask(positions)
    assert mask.dtype == torch.bool
    assert list(mask.shape) == [len(positions), 1, case.new, slots(case)]
    wanted = [
        [[sees(case, row, query, slot) for slot in range(slots(case))] for query in range(case.new)]
        for row in range(len(case.lengths))
    ]
    assert rows_of(mask, case)[:, 0].tolist() == wanted


@pytest.mark.parametrize("kind", KINDS)
@given(case=CASES)
@settings(deadline=None, max_examples=25)
def test_what_is_masked_has_no_effect_and_the_rest_has(kind: str, case: Case) -> None:
    """By the result itself, so that no two signs can cancel each other."""
    cache = KINDS[kind].make(case)
    q, k, v = case.tensors(3, case.new)
    place = AttentionMetadata.of(cache.positions(case.new), ROPE, cache, SDPA)
    found = place.attend(0, q, k, v)
    view, mask = KINDS[kind].make(case).store(0, k, v, place.positions), rows_of(cache.mask(place.positions), case)
    keys, values = torch.cat(view.keys, 2), torch.cat(view.values, 2)
    for slot in range(keys.shape[2]):
        seen = mask[:, 0, :, slot]
        other_values = values.clone()
        other_values[:, :, slot] += 1
        changed = SDPA(q, KVView((keys,), (other_values,)), mask) != found
        assert torch.equal(changed.any(-1).any(1), seen)


@pytest.mark.parametrize("kind", KINDS)
@given(case=CASES)
@settings(deadline=None, max_examples=25)
def test_backends_compute_attention_as_it_is_written(kind: str, case: Case) -> None:
    make = KINDS[kind].make
    q, k, v = case.tensors(3, case.new)
    cache = make(case)
    positions = cache.positions(case.new)
    mask, view = cache.mask(positions), cache.store(0, k, v, positions)
    scores = q @ torch.cat(view.keys, 2).transpose(-1, -2) / SIZE**0.5
    wanted = torch.where(mask, scores, -torch.inf).softmax(-1) @ torch.cat(view.values, 2)
    torch.testing.assert_close(SDPA(q, view, mask), wanted)
    torch.testing.assert_close(PRODUCTS(q, view, mask), wanted)
    place = AttentionMetadata.of(positions, ROPE, make(case), SDPA)
    torch.testing.assert_close(place.attend(0, q, k, v), wanted)
    if kind == "ReadCache":
        torch.testing.assert_close(TRITON(q, view, None), wanted)


@given(case=CASES)
@settings(deadline=None, max_examples=20)
def test_a_cache_that_is_only_read_hands_back_what_is_new(case: Case) -> None:
    k, v = case.tensors(2, case.new)
    for cache in (EmptyCache(torch.device("cpu")), ReadCache(*held(case))):
        view = cache.store(0, k, v, cache.positions(case.new))
        assert view.keys[-1] is k
        assert view.values[-1] is v
        keys, values = cache.collected()
        assert torch.equal(keys, k[None])
        assert torch.equal(values, v[None])


def test_no_mask_is_made_where_none_is_needed() -> None:
    case = Case([3, 0], 2, 0)
    for cache, backend in ((EmptyCache(torch.device("cpu")), SDPA), (ReadCache(*held(case)), TRITON)):
        assert AttentionMetadata.of(cache.positions(2), ROPE, cache, backend).mask is None
