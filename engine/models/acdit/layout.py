"""The order of tokens: blocks one after another, a picture's tile by tile, a clip's frame by frame.

Worked example, a picture of 4 x 4 tokens in tiles of 2 x 2; the numbers are raster places, blocks are rows:

    0  1  4  5   |   2  3  6  7   |   8  9 12 13   |   10 11 14 15
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .config import ACDiTConfig


def raster_places(config: ACDiTConfig, device: torch.device | str = "cpu") -> Tensor:
    """The raster place of every token, in the order of blocks: int64 [num_tokens]."""
    places = torch.arange(config.num_tokens, device=device)
    if config.is_clip:
        return places
    side, tile = config.grid[-1], math.isqrt(config.block_tokens)
    tiles = side // tile
    return places.view(tiles, tile, tiles, tile).transpose(1, 2).flatten()


def positions(config: ACDiTConfig, device: torch.device | str = "cpu") -> Tensor:
    """Coordinates of every token along the axes of the grid: int64 [axes, num_tokens]."""
    return torch.stack(torch.unravel_index(raster_places(config, device), config.grid))


def to_latents(config: ACDiTConfig, blocks: Tensor) -> Tensor:
    """Tokens [B, n, block_tokens, token_dim] of whole pictures, or of a clip's ``n`` successive blocks -> latents
    [B, F, C, h, w]. A token holds its patch by row, column and channel."""
    tokens, side, patch = blocks.flatten(1, 2), config.grid[-1], config.patch_size
    if not config.is_clip:
        assert blocks.shape[1] == config.num_blocks, "a picture has all its tiles"
        tokens = torch.empty_like(tokens).index_copy_(1, raster_places(config, tokens.device), tokens)
    patches = tokens.reshape(len(tokens), -1, side, side, patch, patch, config.latent_channels)
    frames = patches.permute(0, 1, 6, 2, 4, 3, 5)  # [B, F, C, rows, patch, columns, patch]
    return frames.reshape(*frames.shape[:3], config.latent_size, config.latent_size)
