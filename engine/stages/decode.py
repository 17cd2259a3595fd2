"""One decoding step of the ARM as a pure function: it reads the cache's buffers and hands back what belongs there.

``LWM.forward`` with a cache writes into buffers, which a traced graph must not do. Here the model runs unchanged over
a cache that only reads:

    hidden, keys, values = DecodeStep(model)(codes, cache.lengths, cache.keys, cache.values)
    cache.put(keys, values)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..models.arm.lwm import LWM


class ReadOnlyCache:
    """Buffers [layers, R, H, S, head_dim], of which row r sees ``lengths[r]`` slots; ``fresh`` collects what is new."""

    def __init__(self, keys: Tensor, values: Tensor, lengths: Tensor) -> None:
        self.keys, self.values, self.lengths = keys, values, lengths
        self.fresh: list[tuple[Tensor, Tensor]] = []

    def positions(self, new: int) -> Tensor:
        """The slots of the new tokens: int64 [R, new]."""
        return self.lengths[:, None] + torch.arange(new, device=self.lengths.device)

    def mask(self, positions: Tensor) -> Tensor:
        """The filled slots of each row: bool [R, 1, 1, S]. The new token sees itself besides."""
        slots = torch.arange(self.keys.shape[3], device=positions.device)
        return (slots < self.lengths[:, None])[:, None, None]

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """One query a row over its filled slots and its own key: the cache is neither copied nor written."""
        assert mask is not None
        self.fresh.append((k, v))
        scale = q.shape[-1] ** -0.5
        before = (scale * q) @ self.keys[layer].transpose(-1, -2)  # [R, H, 1, S]
        own = (scale * q * k).sum(-1, keepdim=True)  # [R, H, 1, 1]
        scores = torch.cat((before.masked_fill(~mask, -torch.inf), own), -1)
        weights = scores.softmax(-1)
        return weights[..., :-1] @ self.values[layer] + weights[..., -1:] * v

    def advance(self, counts: Sequence[int]) -> None:
        """The caller puts ``fresh`` into the real cache."""


class DecodeStep(nn.Module):
    """One vision token a row, as a function of tensors."""

    def __init__(self, model: LWM) -> None:
        super().__init__()
        self.model = model

    def forward(self, codes: Tensor, lengths: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``codes`` and ``lengths`` int64 [R], buffers [layers, R, H, S, head_dim] -> hidden [R, D] and the new
        token's keys and values [layers, R, H, 1, head_dim]."""
        ids = codes[:, None]
        cache = ReadOnlyCache(keys, values, lengths)
        hidden = self.model(ids, torch.ones_like(ids, dtype=torch.bool), cache)
        fresh_keys, fresh_values = (torch.stack(part) for part in zip(*cache.fresh, strict=True))
        return hidden[:, -1], fresh_keys, fresh_values
