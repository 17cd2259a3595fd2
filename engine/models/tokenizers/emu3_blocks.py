"""Parts of Emu3's vision tokenizer. Names are those of transformers' ``Emu3VQVAE``.

The tokenizer is one of clips. A convolution over frames sees the two frames before and none after, so of a single
picture, or of a clip's first frame, it sees zeros and that frame: one slice of its kernel, an ordinary convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.norms import GroupNorm

EPS = 1e-6
BEFORE = 2  # frames that a convolution sees besides its own


class CausalConv(nn.Module):
    """A convolution over frames and pixels, padded with zeros before the first frame and around each."""

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int, int], stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, kernel, stride=(stride, 1, 1))
        self.around = kernel[1] // 2

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, frames, h, w], of which every ``stride``-th is kept."""
        pixels = (self.around,) * 4
        found: Tensor = self.conv(F.pad(x, (*pixels, BEFORE, 0)))
        return found

    def first(self, x: Tensor) -> Tensor:
        """The first frame [B, C, h, w] of a clip, from it alone."""
        return F.conv2d(x, self.conv.weight[:, :, BEFORE], self.conv.bias, padding=self.around)


class OverFrames(nn.Module):
    """A stage that halves the number of frames of a clip; or that doubles it, of which the first alone is wanted."""

    def __init__(self, channels: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.conv = CausalConv(channels, channels, (4 if halves else 3, 3, 3), 2 if halves else 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, frames, h, w], or [B, C, h, w]."""
        return F.silu(self.conv(x) if self.halves else self.conv.first(x))


class TemporalBlock(nn.Module):
    """norm - silu - convolution, twice, plus the skip, for a clip's first frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm3d(channels), nn.BatchNorm3d(channels)
        self.conv1, self.conv2 = (CausalConv(channels, channels, (3, 3, 3)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w]."""
        h = self.conv1.first(_normed(self.norm1, x))
        return x + self.conv2.first(_normed(self.norm2, h))


def _normed(norm: nn.BatchNorm3d, x: Tensor) -> Tensor:
    """A batch norm that has learned, then SiLU."""
    return F.silu(F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps))


class SpatialNorm(nn.Module):
    """A group norm whose scale and shift depend on the code vectors at each place (MoVQ, arXiv 2209.09002)."""

    def __init__(self, code_channels: int, channels: int, groups: int, silu: bool = True) -> None:
        super().__init__()
        self.norm_layer = GroupNorm(groups, channels, EPS, silu=False)
        self.conv_y, self.conv_b = (nn.Conv2d(code_channels, channels, 1) for _ in range(2))
        self.silu = silu

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        """``x`` [B, C, h, w], ``codes`` [B, code_channels, h', w'] -> [B, C, h, w]."""
        # Scale and shift are made at the codes' size: a 1x1 convolution of copies is a copy of it.
        scale, shift = (F.interpolate(conv(codes), x.shape[-2:], mode="nearest") for conv in (self.conv_y, self.conv_b))
        found = self.norm_layer(x) * scale + shift
        return F.silu(found) if self.silu else found


class PlainNorm(GroupNorm):
    """A group norm in the place of a spatial one."""

    def forward(self, x: Tensor, codes: Tensor | None = None) -> Tensor:
        """``x`` [B, C, h, w]; there are no codes."""
        return super().forward(x)


def make_norm(channels: int, groups: int, code_channels: int | None, silu: bool = True) -> nn.Module:
    """The encoder's norm, or the decoder's where there are code vectors."""
    if code_channels is None:
        return PlainNorm(groups, channels, EPS, silu)
    return SpatialNorm(code_channels, channels, groups, silu)


class ResBlock(nn.Module):
    """norm - silu - conv3x3, twice, plus the skip (a 1x1 conv only where the channels change)."""

    def __init__(self, inputs: int, outputs: int, groups: int, code_channels: int | None) -> None:
        super().__init__()
        self.norm1, self.norm2 = (make_norm(channels, groups, code_channels) for channels in (inputs, outputs))
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, codes: Tensor | None) -> Tensor:
        h = self.conv1(self.norm1(x, codes))
        h = self.conv2(self.norm2(h, codes))
        return self.nin_shortcut(x) + h


class Attention(nn.Module):
    """One head that sees all positions of a feature map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(channels, channels) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> the same shape."""
        rows = x.flatten(2).transpose(1, 2)
        q, k, v = (layer(rows)[:, None] for layer in (self.q_proj, self.k_proj, self.v_proj))  # [B, 1, hw, C]
        found = self.out_proj(F.scaled_dot_product_attention(q, k, v)[:, 0])
        return found.transpose(1, 2).unflatten(2, x.shape[-2:])


class Resample(nn.Module):
    """Half the size (padded at the right and the bottom only), or double it (nearest), by a 3x3 convolution."""

    def __init__(self, channels: int, up: bool) -> None:
        super().__init__()
        self.up = up
        self.conv = nn.Conv2d(channels, channels, 3, stride=1 if up else 2, padding=1 if up else 0)

    def forward(self, x: Tensor) -> Tensor:
        wider = F.interpolate(x, scale_factor=2.0, mode="nearest") if self.up else F.pad(x, (0, 1, 0, 1))
        found: Tensor = self.conv(wider)
        return found


class Level(nn.Module):
    """The residual blocks of one resolution, each with attention or none, then the change of resolution."""

    def __init__(
        self, inputs: int, outputs: int, blocks: int, groups: int, code_channels: int | None, attends: bool
    ) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            ResBlock(inputs if index == 0 else outputs, outputs, groups, code_channels) for index in range(blocks)
        )
        count = blocks if attends else 0
        self.attn = nn.ModuleList(Attention(outputs) for _ in range(count))
        norms = (make_norm(outputs, groups, code_channels, silu=False) for _ in range(count))
        self.attn_norms = nn.ModuleList(norms)
        self.downsample: nn.Module | None = None
        self.upsample: nn.Module | None = None

    def forward(self, x: Tensor, codes: Tensor | None) -> Tensor:
        for index, block in enumerate(self.block):
            x = block(x, codes)
            if len(self.attn):
                x = x + self.attn[index](self.attn_norms[index](x, codes))
        resample = self.downsample or self.upsample
        return x if resample is None else resample(x)


class Middle(nn.Module):
    """A residual block, attention, a residual block."""

    def __init__(self, channels: int, groups: int, code_channels: int | None) -> None:
        super().__init__()
        self.block_1, self.block_2 = (ResBlock(channels, channels, groups, code_channels) for _ in range(2))
        self.attn_norm, self.attn_1 = make_norm(channels, groups, code_channels, silu=False), Attention(channels)

    def forward(self, x: Tensor, codes: Tensor | None) -> Tensor:
        x = self.block_1(x, codes)
        x = x + self.attn_1(self.attn_norm(x, codes))
        found: Tensor = self.block_2(x, codes)
        return found


def repeated(x: Tensor, frames: int) -> Tensor:
    """[B, C, h, w] -> a clip [B, C, frames, h, w] of that picture."""
    return torch.stack([x] * frames, 2)
