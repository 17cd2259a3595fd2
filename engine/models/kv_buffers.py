"""Buffers of keys and values, which outlive the caches that use them, and their open views.

A captured graph reads the buffers where they lie, so a cache that comes back to the buffers of the one before needs no
new capture. That is why a pair goes back to the thread that used it last: a thread is a slot, with graphs of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock, get_ident
from typing import NamedTuple

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]


class _Free(NamedTuple):
    pair: Pair
    last_uses: Sequence[torch.cuda.Event]
    thread: int


class Buffers:
    """Pairs of keys and values that no cache uses; of those that come back, the last ``kept`` are kept."""

    def __init__(self, kept: int = 4) -> None:
        self.kept, self._lock = kept, Lock()  # launches on several slots take and give back
        self._free: list[_Free] = []

    def take(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Pair:
        """A pair of that shape, all zeros."""
        if (found := self._find((shape, dtype, device))) is not None:
            for event in found.last_uses:
                torch.cuda.current_stream(device).wait_event(event)
            keys, values = found.pair
            return keys.zero_(), values.zero_()
        with torch.inference_mode(False):  # such tensors may be written in any mode
            return torch.zeros(shape, dtype=dtype, device=device), torch.zeros(shape, dtype=dtype, device=device)

    def give_back(self, pair: Pair, last_uses: Sequence[torch.cuda.Event] = ()) -> None:
        """For the next one; no other cache may hold them. ``last_uses`` are those of other streams than this one."""
        done = last_use(pair)
        free = _Free(pair, [*last_uses, *([] if done is None else [done])], get_ident())
        with self._lock:
            self._free = [*self._free, free][-self.kept :]

    def _find(self, kind: tuple[tuple[int, ...], torch.dtype, torch.device]) -> _Free | None:
        """The pair of that kind that came back last, from this thread if there is one."""
        with self._lock:
            fits = [
                at for at, ((keys, _), *_) in enumerate(self._free) if (keys.shape, keys.dtype, keys.device) == kind
            ]
            if not fits:
                return None
            return self._free.pop(max(fits, key=lambda at: (self._free[at].thread == get_ident(), at)))


class SharedPair:
    """A pair into which several caches look; the last of them that lets it go gives it back. Any thread may."""

    def __init__(self, buffers: Buffers, pair: Pair) -> None:
        self.buffers, self.pair, self.users = buffers, pair, 1
        self._lock, self._last_uses = Lock(), list[torch.cuda.Event]()

    def hold(self) -> None:
        """One cache more."""
        with self._lock:
            self.users += 1

    def release(self) -> None:
        """One cache less."""
        with self._lock:
            self.users -= 1
            if self.users == 0:
                self.buffers.give_back(self.pair, self._last_uses)
            elif (done := last_use(self.pair)) is not None:
                self._last_uses.append(done)


def last_use(tensors: Sequence[Tensor]) -> torch.cuda.Event | None:
    """An event that another stream of a GPU waits for before it writes them: this one may not have come to its last
    launch that reads them. The allocator, too, waits for it where they are released. None on a CPU."""
    device = tensors[0].device
    if device.type != "cuda":
        return None
    stream = torch.cuda.current_stream(device)
    for tensor in tensors:
        tensor.record_stream(stream)
    return stream.record_event()
