"""Rotary position embedding in the interleaved layout of Meta's LLaMA (RoFormer, arXiv 2104.09864)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Rotary(nn.Module):
    """Tables of cos and of -sin, sin, ..., [max_position, head_dim], always float32 (float64 in a float64 model).

    The published bf16 mode rounds the angles too, which costs 1.9 rad at position 1000. Here the tables are
    computed in float64, and a cast of the model rebuilds them instead of rounding them.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, head_dim: int, max_position: int, theta: float) -> None:
        super().__init__()
        self.head_dim, self.max_position, self.theta = head_dim, max_position, theta
        self._build(torch.get_default_dtype(), torch.get_default_device())

    def _build(self, dtype: torch.dtype, device: torch.device) -> None:
        kept = torch.float64 if dtype == torch.float64 else torch.float32
        cos, sin = self._tables(device)
        self.register_buffer("cos", cos.to(kept), persistent=False)
        self.register_buffer("sin", sin.to(kept), persistent=False)

    def _tables(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """(cos, cos) and (-sin, sin) of each pair, float64 [max_position, head_dim]."""
        if device.type == "meta":  # only shapes are wanted, and cos there would import torch's compiler
            shapes = torch.empty(2, self.max_position, self.head_dim, dtype=torch.float64, device=device)
            return shapes[0], shapes[1]
        exponent = torch.arange(0, self.head_dim, 2, dtype=torch.float64, device=device) / self.head_dim
        angle = torch.arange(self.max_position, dtype=torch.float64, device=device)[:, None] * self.theta**-exponent
        cos, sin = angle.cos(), angle.sin()
        return torch.stack((cos, cos), -1).flatten(1), torch.stack((-sin, sin), -1).flatten(1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Rotary:
        target = fn(torch.empty(0, dtype=self.cos.dtype, device="cpu"))
        self._build(target.dtype, target.device)
        return self

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """``positions`` [R, T] -> rows of both tables [R, 1, T, head_dim], ready to multiply [R, H, T, head_dim]."""
        return self.cos[positions].unsqueeze(1), self.sin[positions].unsqueeze(1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of ``x`` [R, H, T, head_dim] on interleaved pairs: (a, b) -> (a cos - b sin, b cos + a sin)."""
    swapped = x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)  # (b, a): one copy, where taking pairs apart costs two
    return (x * cos + swapped * sin).to(x.dtype)
