"""The text as one vector, which IF adds to the time embedding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TextPooling(nn.Module):
    """The encoder's raw states [B, S, D] -> [B, E], under the names of published weights."""

    def __init__(self, width: int, out_dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.pool = AttentionPooling(width, heads)
        self.proj = nn.Linear(width, out_dim)
        self.norm2 = nn.LayerNorm(out_dim)

    def forward(self, states: Tensor) -> Tensor:
        return self.norm2(self.proj(self.pool(self.norm1(states))))


class AttentionPooling(nn.Module):
    """A token, the mean of the others, attends to itself and to them: [B, S, D] -> [B, D]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.empty(1, width))
        self.k_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        token = x.mean(dim=1, keepdim=True) + self.positional_embedding
        x = torch.cat((token, x), dim=1)
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, H, S, D/H]
            for part in (self.q_proj(token), self.k_proj(x), self.v_proj(x))
        )
        return F.scaled_dot_product_attention(q, k, v).flatten(1)
