"""VQGANs of LWM (arXiv 2402.08268, section 4.1) and Unified-IO 2: pictures to codes and back, layers as in arXiv
2012.09841; Unified-IO 2's has attention at its lowest resolution."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.weights import load_into, read_json, skeleton
from ..layers.norms import GroupNorm
from .codebook import CodebookCoder
from .coder import CoderConfig

GROUP_NORM_EPS = 1e-6


@dataclass(frozen=True)
class VQGANConfig(CoderConfig):
    """Sizes of a VQGAN; the defaults are LWM's (256 px, 16x16 codes of 8,192, 146,244,675 parameters). ``attention`` is
    computed at the lowest resolution: after each residual block, and between the two in the middle."""

    channel_multipliers: tuple[int, ...] = (1, 2, 2, 4, 6)
    num_res_blocks: int = 2
    z_channels: int = 64
    codebook_size: int = 8192
    num_groups: int = 32
    attention: bool = False

    def __post_init__(self) -> None:
        self.check(self.num_groups)

    @property
    def code_channels(self) -> int:
        """Numbers of a code's vector."""
        return self.z_channels


def _norm(channels: int, config: VQGANConfig, silu: bool = True) -> GroupNorm:
    return GroupNorm(config.num_groups, channels, GROUP_NORM_EPS, silu)


class ResBlock(nn.Module):
    """norm - silu - conv3x3, twice, plus the skip (a 1x1 conv only where the channels change)."""

    def __init__(self, inputs: int, outputs: int, config: VQGANConfig) -> None:
        super().__init__()
        self.norm1 = _norm(inputs, config)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = _norm(outputs, config)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(self.norm1(x))
        h = self.conv2(self.norm2(h))
        return h + self.shortcut(x)


class AttentionBlock(nn.Module):
    """One head that sees all positions of a feature map, plus the skip."""

    def __init__(self, channels: int, config: VQGANConfig) -> None:
        super().__init__()
        self.norm = _norm(channels, config, silu=False)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2).transpose(1, 2)[:, None] for layer in (self.q, self.k, self.v))  # [B, 1, hw, C]
        attended = F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).unflatten(2, x.shape[-2:])
        out: Tensor = x + self.proj_out(attended)
        return out


class Level(nn.Module):
    """The residual blocks of one resolution, then the change of resolution (`resample` is None at the last level)."""

    def __init__(
        self, inputs: int, outputs: int, blocks: int, resample: nn.Module | None, c: VQGANConfig, attends: bool = False
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([ResBlock(inputs if i == 0 else outputs, outputs, c) for i in range(blocks)])
        self.attentions = nn.ModuleList([AttentionBlock(outputs, c) for _ in range(blocks)] if attends else [])
        self.resample = resample

    def forward(self, x: Tensor) -> Tensor:
        for index, block in enumerate(self.blocks):
            x = block(x)
            if len(self.attentions):
                x = self.attentions[index](x)
        return x if self.resample is None else self.resample(x)


def _middle(channels: int, config: VQGANConfig) -> nn.Sequential:
    between = [AttentionBlock(channels, config)] if config.attention else []
    return nn.Sequential(ResBlock(channels, channels, config), *between, ResBlock(channels, channels, config))


class Downsample(nn.Module):
    """conv3x3 with stride 2; padded at the right and the bottom only, as LWM does."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Nearest neighbour x2, then conv3x3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Encoder(nn.Module):
    """Pixels [B, 3, H, W] to features [B, z_channels, h, w]."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        widths = config.channels
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        levels, inputs, last = [], widths[0], len(widths) - 1
        for i, outputs in enumerate(widths):
            resample = Downsample(outputs) if i < last else None
            attends = config.attention and i == last
            levels.append(Level(inputs, outputs, config.num_res_blocks, resample, config, attends))
            inputs = outputs
        self.levels = nn.ModuleList(levels)
        self.mid = _middle(inputs, config)
        self.norm_out = _norm(inputs, config)
        self.conv_out = nn.Conv2d(inputs, config.z_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(x)
        for level in self.levels:
            h = level(h)
        return self.conv_out(self.norm_out(self.mid(h)))


class Decoder(nn.Module):
    """Code vectors [B, z_channels, h, w] to pixels [B, 3, H, W]; `levels[0]` is the lowest resolution."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        widths = config.channels[::-1]
        self.conv_in = nn.Conv2d(config.z_channels, widths[0], 3, padding=1)
        self.mid = _middle(widths[0], config)
        levels, inputs, last = [], widths[0], len(widths) - 1
        for i, outputs in enumerate(widths):
            resample = Upsample(outputs) if i < last else None
            attends = config.attention and i == 0
            levels.append(Level(inputs, outputs, config.num_res_blocks + 1, resample, config, attends))
            inputs = outputs
        self.levels = nn.ModuleList(levels)
        self.norm_out = _norm(inputs, config)
        self.conv_out = nn.Conv2d(inputs, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.mid(self.conv_in(z))
        for level in self.levels:
            h = level(h)
        return self.conv_out(self.norm_out(h))


class VQGAN(CodebookCoder):
    """A picture tokenizer with a codebook."""

    config: VQGANConfig

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = nn.Conv2d(config.z_channels, config.code_channels, 1)
        self.post_quant_conv = nn.Conv2d(config.code_channels, config.z_channels, 1)
        self.codebook = nn.Embedding(config.codebook_size, config.code_channels)

    @classmethod
    def from_directory(
        cls, folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> Self:
        """The VQGAN in ``folder``: config.json and model.safetensors. ``ValueError`` names the file and the key."""
        path = Path(folder) / "config.json"
        config = VQGANConfig.from_dict(read_json(path), str(path))
        with skeleton():
            model = cls(config)
        load_into(model, Path(folder) / "model.safetensors", dtype)
        return model.to(device).eval().requires_grad_(False)

    def latents(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] to unquantised vectors [B, z_channels, h, w]."""
        return self.quant_conv(self.encoder(_like(pixels, self.quant_conv)))

    def lower_decoder(self, dtype: torch.dtype) -> Self:
        """Decode in ``dtype``; what finds codes keeps its own, since near ties flip in a lower precision."""
        self.post_quant_conv.to(dtype)
        self.decoder.to(dtype)
        return self

    def reconstruct(self, vectors: Tensor) -> Tensor:
        """Code vectors [B, z_channels, h, w] to pixels [B, 3, H, W], not clipped (for training)."""
        return self.decoder(self.post_quant_conv(_like(vectors, self.post_quant_conv)))


def _like(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """``x`` in the layer's dtype."""
    return x if x.dtype == layer.weight.dtype else x.to(layer.weight.dtype)
