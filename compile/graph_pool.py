"""The captured graphs of one slot: which of them are kept. Nothing here needs torch.

Graphs that run one after another may share one memory pool: what one needs in between, the next may overwrite. Such a
pool keeps the blocks of a graph that has gone for the next capture, and gives its memory back only as a whole.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

GIB = 1 << 30


class Captures(NamedTuple):
    """Number of graphs that were captured, and of those captured again, because a KV cache lay elsewhere or room was
    short: each takes as long as several runs of its stage."""

    total: int
    again: int


class Captured(Protocol):
    """A graph; ``num_bytes`` is by how much its capture made the pool grow, with its static tensors."""

    num_bytes: int


class GraphPool:
    """At most ``max_graphs`` graphs, of which the one used longest ago goes first, in at most ``max_bytes``.

    ``new_handle()`` opens a memory pool. ``num_captures`` counts all captures, ``num_recaptures`` those of a plan that
    had been captured before: its static inputs moved, or its graph had to go. ``ValueError`` for a limit below 1.
    """

    def __init__(self, new_handle: Callable[[], Any], max_graphs: int = 64, max_bytes: int = 8 * GIB) -> None:
        for name, limit in (("max_graphs", max_graphs), ("max_bytes", max_bytes)):
            if limit < 1:
                raise ValueError(f"{name} is {limit}, must be at least 1")
        self.new_handle, self.max_graphs, self.max_bytes = new_handle, max_graphs, max_bytes
        self._graphs: OrderedDict[Hashable, Any] = OrderedDict()
        self.num_captures = self.num_recaptures = 0
        self.clear()

    def __len__(self) -> int:
        return len(self._graphs)

    def clear(self) -> None:
        """Let all graphs go and begin a new memory pool."""
        self._graphs.clear()
        self.handle, self.num_bytes = self.new_handle(), 0

    def graph(self, key: Hashable, capture: Callable[[Any], Captured], again: bool = False) -> Any:
        """The graph of ``key``; ``capture(handle)`` makes it if it is not there (any more). ``again``: its plan was
        captured before.

        ``ValueError`` if it alone is larger than the pool may be.
        """
        if key not in self._graphs:
            self._graphs[key] = self._capture(capture)
            self.num_captures += 1
            self.num_recaptures += again
        self._graphs.move_to_end(key)
        return self._graphs[key]

    def _capture(self, capture: Callable[[Any], Captured]) -> Captured:
        while len(self._graphs) >= self.max_graphs:
            self._graphs.popitem(last=False)
        num_bytes, captured = self._count(capture(self.handle))
        if captured is None and self.num_bytes:
            self.clear()
            num_bytes, captured = self._count(capture(self.handle))
        if captured is None:
            self.clear()
            raise ValueError(f"a graph of {num_bytes} bytes is larger than its pool may be, {self.max_bytes}")
        self.num_bytes += num_bytes
        return captured

    def _count(self, captured: Captured) -> tuple[int, Captured | None]:
        """Its bytes, and itself if they still fit: otherwise it must not be held while the pool starts again."""
        fits = self.num_bytes + captured.num_bytes <= self.max_bytes
        return captured.num_bytes, captured if fits else None


POOLS: WeakKeyDictionary[Any, GraphPool] = WeakKeyDictionary()  # by plan cache, of which a slot has one


def count_captures(caches: Iterable[Any]) -> Captures:
    """Captures of these plan caches' plans so far."""
    pools = [POOLS[cache] for cache in caches if cache in POOLS]
    return Captures(sum(pool.num_captures for pool in pools), sum(pool.num_recaptures for pool in pools))
