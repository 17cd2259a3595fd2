"""Static key/value buffers of a causal transformer, and who owns which range of them.

Buffers are [layers, rows, heads, capacity, head_dim] and never move. Row r *owns* slots 0 .. lengths[r] - 1; what
lies beyond is free: it may hold stale or padding values, which no query sees and the next write overwrites.

Worked example: two stories, frames of 4 codes and an end-of-frame id, texts of 3 and 2 ids.

    fed to the model                     row 0 owns        row 1 owns      lengths
    text, padded to T=3 (3 | 2+pad)      0..2              0..1            [3, 2]     slot 2 of row 1 holds the pad
    codes 0..2 of frame 0, one by one    0..5              0..4            [6, 5]     the pad was overwritten
    replace frame 0:
      truncate([3, 2])                   0..2              0..1            [3, 2]     rows 3..5 | 2..4 are stale
      one pass of 4 codes + eof          0..7              0..6            [8, 7]

Keys and values of a slot depend on the ids at and before it only, so the slots kept by ``truncate`` stay exact,
and the state after ``replace`` is that of a fresh run on the corrected ids. Positions of the rotary embedding are
slot numbers, per row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy

import torch
from torch import Tensor

from .attention import KVView
from .kv_buffers import Buffers, SharedPair

BUCKET = 128


def bucket(capacity: int, limit: int) -> int:
    """``capacity`` rounded up to a multiple of 128, at most ``limit``: one compiled shape serves many lengths.

    A capacity beyond the limit is returned as it is, for its owner to refuse.
    """
    return max(capacity, min(-(-capacity // BUCKET) * BUCKET, limit))


class KVCache:
    """Keys and values of ``rows`` streams. ``lengths`` int64 [rows] lives on the device, ``owned`` on the host."""

    is_causal = False  # earlier slots are attended to as well

    def __init__(
        self,
        layers: int,
        rows: int,
        heads: int,
        capacity: int,
        head_dim: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        buffers: Buffers | None = None,
    ) -> None:
        """``buffers`` are where keys and values are taken from; its own where None."""
        self.buffers = buffers or Buffers()
        shape = (layers, rows, heads, capacity, head_dim)
        # Zeros, not garbage: a masked slot still enters 0 * value, and 0 * inf is not 0.
        self.keys, self.values = pair = self.buffers.take(shape, dtype, torch.device(device))
        self.shared = SharedPair(self.buffers, pair)
        self.lengths = torch.zeros(rows, dtype=torch.int64, device=device)
        self.owned = [0] * rows

    @property
    def rows(self) -> int:
        return self.keys.shape[1]

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    def positions(self, new: int) -> Tensor:
        """The slots that ``new`` tokens take in every row: int64 [rows, new]. ``ValueError`` if they do not fit."""
        self._check(new)
        return self.lengths[:, None] + torch.arange(new, device=self.lengths.device)

    def mask(self, positions: Tensor) -> Tensor:
        """True = may be attended: bool [rows, 1, new, S], S = the longest row afterwards. A query sees its row up to
        itself."""
        slots = torch.arange(self._extent(positions), device=positions.device)
        return (slots <= positions[:, :, None]).unsqueeze(1)

    def write(self, layer: int, keys: Tensor, values: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Put [rows, H, new, head_dim] at ``positions`` -> views [rows, H, S, head_dim] that hold them."""
        stored = self.keys[layer], self.values[layer]
        extent = self._extent(positions)
        for buffer, fresh in zip(stored, (keys, values), strict=True):
            place(buffer[None], fresh[None].to(buffer.dtype), positions)
        return stored[0][:, :, :extent], stored[1][:, :, :extent]

    def store(self, layer: int, keys: Tensor, values: Tensor, positions: Tensor) -> KVView:
        """As :meth:`write`, for an attention backend."""
        held, held_values = self.write(layer, keys, values, positions)
        return KVView((held,), (held_values,))

    def put(self, keys: Tensor, values: Tensor) -> None:
        """Write [layers, rows, H, new, head_dim], computed elsewhere, after each row's own slots, which stay its own.

        Positions after the last slot land on it; a caller that puts such padding does not own that slot.
        """
        slots = self.lengths[:, None] + torch.arange(keys.shape[3], device=keys.device)
        slots = slots.clamp(max=self.capacity - 1)
        place(self.keys, keys, slots)
        place(self.values, values, slots)

    def advance(self, counts: Sequence[int]) -> None:
        """Row r takes ownership of its next ``counts[r]`` slots, which have just been written."""
        assert len(counts) == self.rows, f"{len(counts)} counts for {self.rows} rows"
        owned = [have + new for have, new in zip(self.owned, counts, strict=True)]
        if max(owned) > self.capacity:
            row = owned.index(max(owned))
            said = f"{counts[row]} tokens after {self.owned[row]}"
            raise ValueError(f"{said} exceed the cache's capacity of {self.capacity}")
        self.owned = owned
        if len(set(counts)) == 1:  # the common case needs no copy from the host
            self.lengths += counts[0]
        else:
            self._send()

    def truncate(self, lengths: Sequence[int]) -> None:
        """Row r gives up its slots from ``lengths[r]`` on; a row that is shorter already stays as it is."""
        assert len(lengths) == self.rows, f"{len(lengths)} lengths for {self.rows} rows"
        assert min(lengths) >= 0, f"negative length in {list(lengths)}"
        self.owned = [min(have, new) for have, new in zip(self.owned, lengths, strict=True)]
        self._send()

    def reset(self) -> None:
        """All rows are empty again."""
        self.truncate([0] * self.rows)

    def release(self) -> None:
        """The buffers may go to another cache; this one is of no use any more."""
        self.shared.release()
        del self.keys, self.values, self.shared

    def view(self, rows: slice) -> KVCache:
        """These rows as a cache of their own in the same memory, with lengths of its own: nothing is copied. Until both
        are released, either may write after the slots that the other's rows own, and nowhere else."""
        view = copy(self)
        view.keys, view.values = self.keys[:, rows], self.values[:, rows]
        view.lengths, view.owned = self.lengths[rows].clone(), self.owned[rows]
        self.shared.hold()
        return view

    def fork(self, rows: Sequence[int] | None = None) -> KVCache:
        """An independent copy, of the given rows in the given order, or of all."""
        chosen = list(range(self.rows)) if rows is None else list(rows)
        layers, _, heads, capacity, head_dim = self.keys.shape
        sizes = (layers, len(chosen), heads, capacity, head_dim)
        forked = KVCache(*sizes, dtype=self.keys.dtype, device=self.keys.device, buffers=self.buffers)
        forked.keys.copy_(self.keys[:, chosen])
        forked.values.copy_(self.values[:, chosen])
        forked.lengths = self.lengths[chosen].clone()
        forked.owned = [self.owned[row] for row in chosen]
        return forked

    def paste(self, part: KVCache, rows: Sequence[int]) -> None:
        """Take the contents of another cache's rows, in order, as those of the given ones; it may be shorter, or longer
        than what its rows own and this one has room for."""
        chosen, extent = list(rows), min(self.capacity, part.capacity)
        assert max(part.owned) <= extent, f"{max(part.owned)} slots do not fit in {extent}"
        self.keys[:, chosen, :, :extent] = part.keys[:, :, :, :extent]
        self.values[:, chosen, :, :extent] = part.values[:, :, :, :extent]
        self.lengths[chosen] = part.lengths
        for row, owned in zip(chosen, part.owned, strict=True):
            self.owned[row] = owned

    def settle(self, lengths: Sequence[int]) -> None:
        """The host learns how far each row has come on the device."""
        assert len(lengths) == self.rows, f"{len(lengths)} lengths for {self.rows} rows"
        self.owned = list(lengths)

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds, and the whole pair of which it may be a view."""
        yield from (self.keys, self.values, self.lengths, *self.shared.pair)

    def _extent(self, positions: Tensor) -> int:
        return max(self.owned) + positions.shape[1]

    def _check(self, new: int) -> None:
        if max(self.owned) + new > self.capacity:
            raise ValueError(f"{new} tokens after {max(self.owned)} exceed the cache's capacity of {self.capacity}")

    def _send(self) -> None:
        self.lengths.copy_(torch.tensor(self.owned, dtype=torch.int64))


def place(buffer: Tensor, fresh: Tensor, slots: Tensor) -> None:
    """Write [layers, rows, H, new, head_dim] into ``buffer`` [layers, rows, H, S, head_dim] at ``slots`` [rows, new].

    By an indexed assignment: torch's ``scatter_`` copies a whole bfloat16 or float16 buffer on a CPU, twice
    (torch 2.13), which took longer than all products of a pass.
    """
    rows = torch.arange(len(slots), device=slots.device)[:, None]
    buffer.permute(1, 3, 0, 2, 4)[rows, slots] = fresh.permute(1, 3, 0, 2, 4)


def gather(parts: Sequence[KVCache | None], capacity: int, make: Callable[[int], KVCache]) -> KVCache:
    """The rows of all ``parts`` (None: a story's that are empty) in one cache of ``capacity``, branches before stories.

    If the parts are views of one cache, all of it and in order, and no other cache looks into it, the result lies where
    they lie; else it is ``make(capacity)`` with copies of them.
    """
    if (whole := _whole(parts, capacity)) is not None:
        return whole
    made = make(capacity)
    for story, part in enumerate(parts):
        if part is not None:
            made.paste(part, range(story, made.rows, len(parts)))
    return made


def _whole(parts: Sequence[KVCache | None], capacity: int) -> KVCache | None:
    views = [part for part in parts if part is not None]
    if len(views) < len(parts):
        return None
    shared, keys = views[0].shared, views[0].shared.pair[0]
    count = len(views)
    if any(view.shared is not shared for view in views) or shared.users != count or keys.shape[3] != capacity:
        return None
    if any(view.keys.data_ptr() != keys[:, story].data_ptr() for story, view in enumerate(views)):
        return None
    if any(view.rows * count != keys.shape[1] for view in views):
        return None
    whole = copy(views[0])
    whole.keys, whole.values = shared.pair
    whole.lengths = torch.stack([view.lengths for view in views], 1).flatten()
    whole.owned = [view.owned[branch] for branch in range(views[0].rows) for view in views]
    shared.hold()
    return whole
