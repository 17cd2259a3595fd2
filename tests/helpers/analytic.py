"""Weights and pictures by formulas, so that reference figures need no files; tests/golden/metrics.json says how."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor


def uniform(position: int, shape: tuple[int, ...]) -> Tensor:
    """Numbers in -1 to 1, float64, those of the tensor at ``position`` of the sorted names."""
    index = torch.arange(prod(shape), dtype=torch.int64)
    numbers = ((index + 1) * 1103515245 + (position + 1) * 6699693 + 12345) % 2**31
    return (numbers.double() / 2**30 - 1).reshape(shape)


def analytic(shapes: Mapping[str, Tensor], norm: tuple[float, float] = (1.0, 0.1)) -> dict[str, Tensor]:
    """Weights of the names and shapes of a state dictionary; integers stay. ``norm`` are mean and spread of vectors
    called weight."""
    filled = {}
    for position, name in enumerate(sorted(shapes)):
        like = shapes[name]
        if not like.is_floating_point():
            filled[name] = like
            continue
        u, shape = uniform(position, tuple(like.shape)), tuple(like.shape)
        if len(shape) >= 2:
            value = u * (3 * shape[0] / prod(shape)) ** 0.5
        elif name.endswith("weight"):
            value = norm[0] + norm[1] * u
        else:
            value = 0.05 * u + (1 if name.endswith("running_var") else 0)
        filled[name] = value.float()
    return filled


def picture(height: int, width: int, dx: float = 0) -> Tensor:
    """[1, 3, height, width] in 0 to 1, float64: waves, of which those in x are moved by ``dx``."""
    c = torch.arange(3, dtype=torch.float64).view(3, 1, 1)
    y = torch.arange(height, dtype=torch.float64).view(1, height, 1)
    x = torch.arange(width, dtype=torch.float64).view(1, 1, width) + dx
    return (0.5 + 0.4 * torch.sin(0.11 * (c + 1) * y + 0.07 * x) + 0.1 * torch.cos(0.3 * x))[None]
