"""Sampling of maps at places between pixels, as optical flow needs it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def pixel_grid(like: Tensor) -> Tensor:
    """[1, 2, H, W]: x and y of each pixel of a map."""
    y, x = (torch.arange(side, device=like.device, dtype=like.dtype) for side in like.shape[-2:])
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1])[None]


def sample(maps: Tensor, places: Tensor, padding: str = "zeros") -> Tensor:
    """[N, C, H, W] at ``places`` [N, h, w, 2] (x, y in pixels), bilinear -> [N, C, h, w]. ``padding`` is "zeros" or
    "border"."""
    height, width = maps.shape[-2:]
    x, y = places.unbind(-1)
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], -1)
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode=padding, align_corners=True)


def warp(maps: Tensor, flow: Tensor) -> Tensor:
    """[N, C, H, W], each pixel from where ``flow`` [N, 2, H, W] points; beyond the border the border's."""
    places = pixel_grid(maps) + flow
    return sample(maps, places.permute(0, 2, 3, 1), "border")


def correlations(first: Tensor, second: Tensor, levels: int = 4) -> list[Tensor]:
    """Products of all pairs of places of two feature maps [N, C, h, w], over sqrt(C): [N h w, 1, h, w], and that halved
    again and again by means of 2 x 2."""
    n, channels, height, width = first.shape
    products = first.flatten(2).transpose(1, 2) @ second.flatten(2) / channels**0.5
    pyramid = [products.reshape(n * height * width, 1, height, width)]
    for _ in range(levels - 1):
        pyramid.append(F.avg_pool2d(pyramid[-1], 2, 2))
    return pyramid


def look_up(pyramid: list[Tensor], places: Tensor, radius: int) -> Tensor:
    """Windows of side 2 radius + 1 around ``places`` [N, 2, h, w] in each level -> [N, levels x side^2, h, w]. A
    window's first axis moves x."""
    n, _, height, width = places.shape
    steps = torch.arange(-radius, radius + 1, device=places.device, dtype=places.dtype)
    window = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)
    centres = places.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
    found = [sample(level, centres / 2**number + window) for number, level in enumerate(pyramid)]
    return torch.cat([one.reshape(n, height, width, -1) for one in found], -1).permute(0, 3, 1, 2)
