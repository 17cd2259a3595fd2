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
import torch.nn.functional as F
from torch import Tensor

from ...kernels.decode_attention import decode_attention


class EmptyCache:
    """Nothing is owned yet: the new tokens stand at the stream's beginning and see one another only."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.fresh: list[tuple[Tensor, Tensor]] = []

    def positions(self, new: int) -> Tensor:
        """The slots of the new tokens, the same in all rows: int64 [1, new]."""
        return torch.arange(new, device=self.device)[None]

    def mask(self, positions: Tensor) -> Tensor | None:
        """None: attention is plainly causal."""
        return None

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """Causal attention of the new tokens, all [R, H, new, head_dim]."""
        self.fresh.append((k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def advance(self, counts: Sequence[int]) -> None:
        """The real cache is the caller's."""

    def collected(self) -> tuple[Tensor, Tensor]:
        """The new keys and values of all layers: [layers, R, H, new, head_dim] each."""
        keys, values = zip(*self.fresh, strict=True)
        return torch.stack(keys), torch.stack(values)


class ReadCache(EmptyCache):
    """Buffers [layers, R, H, S, head_dim], of which row r owns its first ``lengths[r]`` slots."""

    def __init__(self, keys: Tensor, values: Tensor, lengths: Tensor) -> None:
        super().__init__(keys.device)
        self.keys, self.values, self.lengths = keys, values, lengths

    def positions(self, new: int) -> Tensor:
        """The slots of the new tokens: int64 [R, new]; padding beyond the last slot stands on it."""
        slots = self.lengths[:, None] + torch.arange(new, device=self.lengths.device)
        return slots.clamp(max=self.keys.shape[3] - 1)

    def mask(self, positions: Tensor) -> Tensor | None:
        """What each query (last axis) must not see of the slots and the new tokens: bool [R, 1, S + new, new]."""
        rows, new = positions.shape
        slots, order = (torch.arange(size, device=positions.device) for size in (self.keys.shape[3], new))
        free = (slots >= self.lengths[:, None])[:, :, None].expand(rows, -1, new)
        later = (order[:, None] > order).expand(rows, new, new)
        return torch.cat((free, later), 1)[:, None]

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """Attention of ``q`` over the layer's slots and the new tokens, [R, H, new, head_dim] each; copies nothing."""
        assert mask is not None
        self.fresh.append((k, v))
        # Keys times queries, not queries times keys: a compiler may copy what it transposes, and queries are few.
        q = (q * q.shape[-1] ** -0.5).transpose(-1, -2)
        scores = torch.cat((self.keys[layer] @ q, k @ q), -2)  # [R, H, S + new, new]
        owned, new = scores.masked_fill(mask, -torch.inf).softmax(-2).tensor_split((self.keys.shape[3],), -2)
        return owned.transpose(-1, -2) @ self.values[layer] + new.transpose(-1, -2) @ v


class KernelCache(ReadCache):
    """The same, attended to by our kernel, which reads the owned slots only."""

    def mask(self, positions: Tensor) -> None:
        """None: the kernel knows the lengths."""

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """Attention of ``q`` over the layer's owned slots and the new tokens, [R, H, new, head_dim] each."""
        self.fresh.append((k, v))
        return decode_attention(q, self.keys[layer], self.values[layer], self.lengths, k, v)
