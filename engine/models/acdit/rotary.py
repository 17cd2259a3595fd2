"""ACDiT's rotary embedding over two or three axes, as the published weights were trained, which is not the paper's.

    base      100 (floor(floor(8 L / pi) / 100) + 1) of an axis of length L: 100 for all published ones
    angles    of an axis with n frequencies: position x base^(-j / (n - 1)), j = 0 to n - 1, twice over
    head      the axes' angles one after another; then number i pairs with i + 32, over the whole head

Paired numbers so turn by different angles: it is not a rotation, and scores depend on places and not on distances
alone. Keys may be cached after it; they cannot move to other places.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..layers.rotary import Rotary
from .config import HEAD_DIM, ACDiTConfig
from .layout import positions


class GridRotary(Rotary):
    """Tables of cos and of -sin, sin, [num_tokens, 64], a row a token in the order of blocks; always float32 (float64
    in a float64 model)."""

    def __init__(self, config: ACDiTConfig) -> None:
        nn.Module.__init__(self)
        self.config = config
        self._build(torch.get_default_dtype(), torch.get_default_device())

    def _tables(self, device: torch.device) -> tuple[Tensor, Tensor]:
        config = self.config
        if device.type == "meta":  # only shapes are wanted
            shapes = torch.empty(2, config.num_tokens, HEAD_DIM, dtype=torch.float64, device=device)
            return shapes[0], shapes[1]
        unit, found = HEAD_DIM // 2 // sum(config.rotary_split), []
        for place, length, share in zip(positions(config, device), config.grid, config.rotary_split, strict=True):
            exponent = torch.linspace(0, 1, share * unit, dtype=torch.float64, device=device)
            angle = place.double()[:, None] * float(base_of(length)) ** -exponent
            found += [angle, angle]
        angles = torch.cat(found, -1)
        sin = angles.sin()
        sin[:, : HEAD_DIM // 2] *= -1
        return angles.cos(), sin


def base_of(length: int) -> int:
    """The base of an axis of that length: about what turns the slowest pair by pi over eight lengths."""
    return (int(8 * length / math.pi) // 100 + 1) * 100


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The embedding of ``x`` [R, H, T, 64] by rows of the tables [R or 1, 1, T, 64], in the tables' precision."""
    return (x * cos + x.roll(HEAD_DIM // 2, -1) * sin).to(x.dtype)
