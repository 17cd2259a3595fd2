"""Convolution blocks shared by the UNet and the VAE, named as published weights name them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.norms import GroupNorm


class ResnetBlock(nn.Module):
    """Two normalised 3x3 convolutions and a shortcut; the time embedding is added between them, if there is one.

    It has room for a convolution over the `frames` of a clip after these (video_unet.py)."""

    def __init__(
        self, in_channels: int, out_channels: int, groups: int, eps: float, temb_dim: int | None = None
    ) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, in_channels, eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_emb_proj = nn.Linear(temb_dim, out_channels) if temb_dim else None
        self.norm2 = GroupNorm(groups, out_channels, eps)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        same = in_channels == out_channels
        self.conv_shortcut = None if same else nn.Conv2d(in_channels, out_channels, 1)
        self.temporal_conv: nn.Module | None = None

    def time_shift(self, temb: Tensor) -> Tensor:
        """The shift by the time embedding [N, E] between the convolutions: [N, out]; once a schedule."""
        assert self.time_emb_proj is not None
        shift: Tensor = self.time_emb_proj(F.silu(temb))
        return shift

    def forward(self, x: Tensor, shift: Tensor | None = None, frames: int = 1) -> Tensor:
        """`x` [B, in, h, w], `shift` [B or 1, out] where the block knows the time; returns [B, out, h, w].

        `frames` is the length of the clips of which `x` has the frames one after another."""
        assert (shift is None) == (self.time_emb_proj is None)
        h = self.conv1(self.norm1(x))
        h = self.conv2(self.norm2(h, shift))
        h = h + (x if self.conv_shortcut is None else self.conv_shortcut(x))
        return h if self.temporal_conv is None else self.temporal_conv(h, frames)


class Downsample(nn.Module):
    """Halves a map with a strided convolution.

    The UNet pads all four sides by one; the VAE pads right and below only (`corner`), as its weights were trained.
    """

    def __init__(self, channels: int, corner: bool = False) -> None:
        super().__init__()
        self.corner = corner
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=0 if corner else 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.corner else x)


class Upsample(nn.Module):
    """Nearest neighbour to `size` (h, w), or to twice the size, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        size = size or (2 * x.shape[2], 2 * x.shape[3])
        return self.conv(F.interpolate(x, size=size, mode="nearest"))
