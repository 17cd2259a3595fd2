"""Which graphs a slot keeps: the recent ones, within a number and a number of bytes."""

from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acdc.compile.graph_pool import GraphPool


@dataclass
class Graph:
    key: str
    handle: int
    num_bytes: int


class Slot:
    """A pool, and what it captured."""

    def __init__(self, max_graphs: int, max_bytes: int) -> None:
        self.pool = GraphPool(count().__next__, max_graphs, max_bytes)
        self.captured: list[str] = []

    def use(self, key: str, num_bytes: int = 1) -> Graph:
        def capture(handle: int) -> Graph:
            self.captured.append(key)
            return Graph(key, handle, num_bytes)

        return self.pool.graph(key, capture)


def test_a_graph_is_captured_once():
    slot = Slot(2, 10)
    assert slot.use("a") is slot.use("a")
    assert slot.captured == ["a"]


def test_the_graph_used_longest_ago_goes_first():
    slot = Slot(2, 10)
    for key in "abac":  # a was used after b
        slot.use(key)
    assert slot.captured == ["a", "b", "c"]
    slot.use("a")
    assert slot.captured == ["a", "b", "c"]
    slot.use("b")
    assert slot.captured == ["a", "b", "c", "b"]


def test_beyond_the_bytes_the_pool_begins_again():
    slot = Slot(9, 10)
    first, second = slot.use("a", 6), slot.use("b", 4)
    assert (first.handle, second.handle, slot.pool.num_bytes) == (0, 0, 10)
    third = slot.use("c", 3)
    assert third.handle == 1, "a capture into the old pool would keep its memory"
    assert (len(slot.pool), slot.pool.num_bytes) == (1, 3)


def test_blocks_of_a_graph_that_went_still_count():
    """Its pool keeps them until the pool itself goes."""
    slot = Slot(1, 10)
    slot.use("a", 6)
    slot.use("b", 1)
    assert (len(slot.pool), slot.pool.num_bytes) == (1, 7)


def test_a_graph_larger_than_the_pool_is_refused():
    slot = Slot(9, 10)
    slot.use("a", 6)
    with pytest.raises(ValueError, match="a graph of 11 bytes is larger than its pool may be, 10"):
        slot.use("b", 11)
    assert (len(slot.pool), slot.pool.num_bytes) == (0, 0)
    assert slot.use("a", 6).num_bytes == 6


@pytest.mark.parametrize(("limits", "named"), [((0, 1), "max_graphs is 0"), ((1, -1), "max_bytes is -1")])
def test_limits_below_one_are_named(limits, named):
    with pytest.raises(ValueError, match=named):
        Slot(*limits)


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 10))), st.integers(1, 4))
def test_both_bounds_always_hold(uses, max_graphs):
    slot = Slot(max_graphs, 10)
    for key, num_bytes in uses:
        graph = slot.use(key, num_bytes)
        assert graph.key == key
        assert graph.handle == slot.pool.handle
        assert 1 <= len(slot.pool) <= max_graphs
        assert graph.num_bytes <= slot.pool.num_bytes <= 10
