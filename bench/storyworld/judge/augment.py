"""Augmentations of the judge's training: what a drawing system does to a picture without changing what it shows.

Random channel weights instead of luma make colour worthless; blur, noise, tone and block artefacts are those of
coders and of diffusion; moves, flips and cut-outs keep the judge from leaning on one spot.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional

LUMA_WEIGHTS = (0.299, 0.587, 0.114)

Change = Callable[[Tensor, Generator], Tensor]


def _uniform(count: int, low: float, high: float, rng: Generator) -> Tensor:
    return torch.empty(count, 1, 1, 1).uniform_(low, high, generator=rng)


def _some(change: Change, gray: Tensor, share: float, rng: Generator) -> Tensor:
    """Apply ``change`` to a random ``share`` of the pictures; the others cost nothing."""
    chosen = torch.rand(len(gray), generator=rng) < share
    if not chosen.any():
        return gray
    result = gray.clone()
    result[chosen] = change(gray[chosen], rng)
    return result


def mix_channels(images: Tensor, rng: Generator) -> Tensor:
    """``[N, 3, H, W]`` -> ``[N, 1, H, W]`` with channel weights uniform on the simplex."""
    weights = -torch.empty(len(images), 3, 1, 1).uniform_(1e-6, 1, generator=rng).log()
    return (images * (weights / weights.sum(1, keepdim=True))).sum(1, keepdim=True)


def luma(images: Tensor, rng: Generator | None = None) -> Tensor:
    """The usual gray of ``[N, 3, H, W]``, with the signature of `mix_channels`."""
    return (images * torch.tensor(LUMA_WEIGHTS).view(1, 3, 1, 1)).sum(1, keepdim=True)


def move(gray: Tensor, rng: Generator) -> Tensor:
    """Flip half of them; scale by 0.85-1.15 and shift by up to 8 % of the width."""
    count = len(gray)
    scale = torch.empty(count).uniform_(0.85, 1.15, generator=rng)
    flip = (torch.rand(count, generator=rng) < 0.5).float() * -2 + 1
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = scale * flip, scale
    theta[:, :, 2].uniform_(-0.16, 0.16, generator=rng)
    grid = functional.affine_grid(theta, list(gray.shape), align_corners=False)
    return functional.grid_sample(gray, grid, padding_mode="reflection", align_corners=False)


def blur(gray: Tensor, rng: Generator) -> Tensor:
    """Down to between a third and four fifths of the size and back up: the blur of a coder with few tokens."""
    side = gray.shape[-1]
    small = int(torch.randint(side // 3, side * 4 // 5, (1,), generator=rng))
    down = functional.interpolate(gray, (small, small), mode="bilinear", antialias=True, align_corners=False)
    return functional.interpolate(down, (side, side), mode="bilinear", align_corners=False)


def noise(gray: Tensor, rng: Generator) -> Tensor:
    """White noise with a standard deviation of up to 0.08."""
    return gray + torch.randn(gray.shape, generator=rng) * _uniform(len(gray), 0, 0.08, rng)


def tone(gray: Tensor, rng: Generator) -> Tensor:
    """Gamma 0.5-2, contrast 0.4-1.4 about the middle, brightness +-0.2, clipped to 0..1."""
    curved = gray.clamp(1e-4, 1) ** torch.exp(_uniform(len(gray), -0.7, 0.7, rng))
    contrast, brightness = _uniform(len(gray), 0.4, 1.4, rng), _uniform(len(gray), -0.2, 0.2, rng)
    return ((curved - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)


def cut_out(gray: Tensor, rng: Generator) -> Tensor:
    """One rectangle of 8-25 % of each side is replaced by a flat gray."""
    count, side = len(gray), gray.shape[-1]
    axis = (torch.arange(side) + 0.5) / side
    inside_x = (axis - _uniform(count, 0, 1, rng)).abs() * 2 < _uniform(count, 0.08, 0.25, rng)
    inside_y = (axis - _uniform(count, 0, 1, rng)).abs() * 2 < _uniform(count, 0.08, 0.25, rng)
    return torch.where(inside_x & inside_y.transpose(2, 3), _uniform(count, 0, 1, rng), gray)


def blocks(gray: Tensor, rng: Generator) -> Tensor:
    """JPEG's loss: the 8x8 block DCT rounded to steps that grow with the frequency."""
    n = torch.arange(8.0)
    basis = torch.cos(math.pi * (2 * n + 1)[None] * n[:, None] / 16) * 0.5
    basis[0] /= math.sqrt(2)
    count, _, height, width = gray.shape
    tiles = gray.view(count, height // 8, 8, width // 8, 8).transpose(2, 3)  # [N, h, w, 8, 8]
    spectrum = basis @ tiles @ basis.T
    step = (1 + n[:, None] + n[None]) * _uniform(count, 0.01, 0.08, rng).unsqueeze(-1)
    tiles = basis.T @ ((spectrum / step).round() * step) @ basis
    return tiles.transpose(2, 3).reshape(gray.shape)


CHANGES: dict[str, tuple[Change, float]] = {  # in the order of application, with the share of pictures changed
    "move": (move, 0.8),
    "blur": (blur, 0.4),
    "tone": (tone, 0.6),
    "cut_out": (cut_out, 0.3),
    "noise": (noise, 0.5),
    "blocks": (blocks, 0.2),
}


def augment(images: Tensor, rng: Generator) -> Tensor:
    """Training pictures 0..1 ``[N, 3, H, W]`` -> gray ``[N, 1, H, W]``, each changed in its own random way."""
    gray = mix_channels(images, rng)
    for change, share in CHANGES.values():
        gray = _some(change, gray, share, rng)
    return gray
