"""A cache that is only read: the model runs over it as a pure function, and what is new is handed back.

``LWM.forward`` with a ``KVCache`` writes into its buffers, which a traced graph must not do. Over this one it collects
the new keys and values, and the caller puts them into the real cache. With S = 4 slots, of which row 0 owns 2 and row
1 owns 3, and two new tokens, queries (rows) see

    row 0   slots 0 1 . .  new a .        row 1   slots 0 1 2 .  new a .
            slots 0 1 . .  new a b                slots 0 1 2 .  new a b
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class ReadCache:
    """Buffers [layers, R, H, S, head_dim], of which row r owns its first ``lengths[r]`` slots."""

    def __init__(self, keys: Tensor, values: Tensor, lengths: Tensor) -> None:
        self.keys, self.values, self.lengths = keys, values, lengths
        self.fresh: list[tuple[Tensor, Tensor]] = []

    def positions(self, new: int) -> Tensor:
        """The slots of the new tokens: int64 [R, new]; padding beyond the last slot stands on it."""
        slots = self.lengths[:, None] + torch.arange(new, device=self.lengths.device)
        return slots.clamp(max=self.keys.shape[3] - 1)

    def mask(self, positions: Tensor) -> Tensor:
        """The owned slots, then the new tokens up to the query's own: bool [R, 1, new, S + new]."""
        rows, new = positions.shape
        slots, order = (torch.arange(size, device=positions.device) for size in (self.keys.shape[3], new))
        owned = (slots < self.lengths[:, None])[:, None].expand(rows, new, -1)
        earlier = (order <= order[:, None]).expand(rows, new, new)
        return torch.cat((owned, earlier), -1)[:, None]

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """Attention of ``q`` over the layer's slots and the new tokens, [R, H, new, head_dim] each; copies nothing."""
        assert mask is not None
        self.fresh.append((k, v))
        q = q * q.shape[-1] ** -0.5
        scores = torch.cat((q @ self.keys[layer].transpose(-1, -2), q @ k.transpose(-1, -2)), -1)
        owned, new = scores.masked_fill(~mask, -torch.inf).softmax(-1).tensor_split((self.keys.shape[3],), -1)
        return owned @ self.values[layer] + new @ v

    def advance(self, counts: Sequence[int]) -> None:
        """The real cache is the caller's."""

    def collected(self) -> tuple[Tensor, Tensor]:
        """The new keys and values of all layers: [layers, R, H, new, head_dim] each."""
        keys, values = zip(*self.fresh, strict=True)
        return torch.stack(keys), torch.stack(values)
