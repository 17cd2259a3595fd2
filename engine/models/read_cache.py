"""Caches that are only read: a pass over one is a pure function of tensors, and what is new is handed back.

A ``KVCache`` writes into its buffers, which a traced graph must not do. These collect the new keys and values, and the
caller puts them into the real cache. With S = 4 slots, of which row 0 owns 2 and row 1 owns 3, and two new tokens,
queries (rows) may attend to

    row 0   slots 0 1 . .  new a .        row 1   slots 0 1 2 .  new a .
            slots 0 1 . .  new a b                slots 0 1 2 .  new a b
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .attention import KVView


class EmptyCache:
    """Nothing is owned yet: the new tokens are the stream's beginning and see one another only."""

    is_causal = True

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.fresh: list[tuple[Tensor, Tensor]] = []

    def positions(self, new: int) -> Tensor:
        """The slots of the new tokens, the same in all rows: int64 [1, new]."""
        return torch.arange(new, device=self.device)[None]

    def mask(self, positions: Tensor) -> Tensor:
        """True = may be attended: bool [1, 1, new, new], the lower triangle."""
        order = torch.arange(positions.shape[1], device=positions.device)
        return (order <= order[:, None])[None, None]

    def store(self, layer: int, keys: Tensor, values: Tensor, positions: Tensor) -> KVView:
        """The new tokens alone, [R, H, new, head_dim]."""
        self.fresh.append((keys, values))
        return KVView((keys,), (values,))

    def advance(self, counts: Sequence[int]) -> None:
        """The real cache is the caller's."""

    def collected(self) -> tuple[Tensor, Tensor]:
        """The new keys and values of all layers: [layers, R, H, new, head_dim] each."""
        keys, values = zip(*self.fresh, strict=True)
        return torch.stack(keys), torch.stack(values)


class ReadCache(EmptyCache):
    """Buffers [layers, R, H, S, head_dim], of which row r owns its first ``lengths[r]`` slots."""

    is_causal = False

    def __init__(self, keys: Tensor, values: Tensor, lengths: Tensor) -> None:
        super().__init__(keys.device)
        self.keys, self.values, self.lengths = keys, values, lengths

    def positions(self, new: int) -> Tensor:
        """The slots of the new tokens: int64 [R, new]; padding beyond the last slot is placed on it."""
        slots = self.lengths[:, None] + torch.arange(new, device=self.lengths.device)
        return slots.clamp(max=self.keys.shape[3] - 1)

    def mask(self, positions: Tensor) -> Tensor:
        """True = may be attended: bool [R, 1, new, S + new], the slots before the new tokens."""
        rows, new = positions.shape
        slots, order = (torch.arange(size, device=positions.device) for size in (self.keys.shape[3], new))
        owned = (slots < self.lengths[:, None])[:, :, None].expand(rows, -1, new)
        earlier = (order[:, None] <= order).expand(rows, new, new)
        # Laid out as the backend of these passes reads it: slots before queries.
        return torch.cat((owned, earlier), 1)[:, None].transpose(-1, -2)

    def store(self, layer: int, keys: Tensor, values: Tensor, positions: Tensor) -> KVView:
        """The layer's slots, and the new tokens [R, H, new, head_dim] separately: nothing is copied."""
        self.fresh.append((keys, values))
        return KVView((self.keys[layer], keys), (self.values[layer], values), self.lengths)
