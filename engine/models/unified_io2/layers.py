"""Layers that encoder and decoder share: attention with norms of queries and keys, SwiGLU, tables of positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ....kernels.gated import swiglu, swiglu_reference
from ..layers.fused import Fused
from ..layers.norms import RMSNorm
from ..layers.rotary import Rotary, rotate
from .config import UnifiedIO2Config


class Attention(nn.Module):
    """The projections of multi-head attention without biases: queries and keys are normed, then rotated."""

    def __init__(self, config: UnifiedIO2Config) -> None:
        super().__init__()
        self.heads, inner = config.heads, config.heads * config.head_dim
        self.query = nn.Linear(config.width, inner, bias=False)
        self.key = nn.Linear(config.width, inner, bias=False)
        self.value = nn.Linear(config.width, inner, bias=False)
        self.out = nn.Linear(inner, config.width, bias=False)
        self.query_norm = RMSNorm(config.head_dim, config.norm_eps)
        self.key_norm = RMSNorm(config.head_dim, config.norm_eps)

    def queries(self, x: Tensor, place: tuple[Tensor, Tensor]) -> Tensor:
        """[R, T, D] at ``place``, the rows of both tables -> [R, H, T, head_dim]."""
        return self._rotated(self.query_norm, self.query(x), place)

    def keys_values(self, x: Tensor, place: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """[R, T, D] -> keys and values [R, H, T, head_dim]."""
        return self._rotated(self.key_norm, self.key(x), place), self._split(self.value(x))

    def joined(self, attended: Tensor) -> Tensor:
        """[R, H, T, head_dim] -> [R, T, D]."""
        out: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _rotated(self, norm: RMSNorm, x: Tensor, place: tuple[Tensor, Tensor]) -> Tensor:
        return rotate(norm(x.unflatten(-1, (self.heads, -1))).transpose(1, 2), *place)


class SelfAttention(Attention):
    """Attention of the same tokens, whose three products may be one."""

    def __init__(self, config: UnifiedIO2Config) -> None:
        super().__init__(config)
        self.fused: Fused | None = None

    def fuse(self) -> None:
        """Queries, keys and values from one product."""
        self.fused = Fused(self.query, self.key, self.value)

    def projected(self, x: Tensor, place: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """[R, T, D] -> queries, keys and values [R, H, T, head_dim]."""
        if self.fused is None:
            return self.queries(x, place), *self.keys_values(x, place)
        q, k, v = self.fused(x)
        return self._rotated(self.query_norm, q, place), self._rotated(self.key_norm, k, place), self._split(v)


class MLP(nn.Module):
    """SwiGLU: wo(silu(wi_0 x) * wi_1 x)."""

    def __init__(self, config: UnifiedIO2Config) -> None:
        super().__init__()
        self.wi_0 = nn.Linear(config.width, config.mlp, bias=False)
        self.wi_1 = nn.Linear(config.width, config.mlp, bias=False)
        self.wo = nn.Linear(config.mlp, config.width, bias=False)
        self.fused: Fused | None = None
        self.gated: Callable[[Tensor, Tensor], Tensor] = swiglu_reference

    def fuse(self) -> None:
        """Gate and value from one product."""
        self.fused = Fused(self.wi_0, self.wi_1)

    def enable_triton(self) -> None:
        """Gate by our kernel."""
        self.gated = swiglu

    def forward(self, x: Tensor) -> Tensor:
        gate, value = (self.wi_0(x), self.wi_1(x)) if self.fused is None else self.fused(x)
        out: Tensor = self.wo(self.gated(gate, value))
        return out


class Places(NamedTuple):
    """Places of a text, where ``rows`` is None: 0, 1, ...; or of a grid in row-major order, ``scale`` apart."""

    columns: int
    rows: int | None = None
    scale: float = 1.0

    def coordinates(self) -> Tensor:
        """float64 [n, 1] of a text, [n, 2] (row, column) of a grid; on the CPU."""
        columns, *rows = (
            torch.arange(size, dtype=torch.float64, device="cpu") * self.scale
            for size in (self.columns, self.rows)
            if size is not None
        )
        return torch.cartesian_prod(rows[0], columns) if rows else columns[:, None]


class PlaceTable(Rotary):
    """Rotary tables of places, those of several texts and grids one after another.

    A text's pairs rotate by p theta^(-2i / d), i < d / 2. A grid's first half of the pairs rotates with the row and the
    second with the column, both by theta^(-2i / (d / 2)), i < d / 4.
    """

    def __init__(self, head_dim: int, theta: float, *parts: Places) -> None:
        self.parts = parts
        super().__init__(head_dim, sum(one.columns * (one.rows or 1) for one in parts), theta)

    def _tables(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """(cos, cos) and (-sin, sin) of each pair, float64 [places, head_dim]."""
        if device.type == "meta":
            return super()._tables(device)
        angle = torch.cat([self._angles(part.coordinates()) for part in self.parts]).to(device)
        cos, sin = angle.cos(), angle.sin()
        return torch.stack((cos, cos), -1).flatten(1), torch.stack((-sin, sin), -1).flatten(1)

    def _angles(self, coordinates: Tensor) -> Tensor:
        """float64 [n, 1 or 2] -> [n, head_dim / 2]."""
        part = self.head_dim // coordinates.shape[1]
        exponent = torch.arange(0, part, 2, dtype=torch.float64, device="cpu") / part
        return (coordinates[:, :, None] * self.theta**-exponent).flatten(1)
