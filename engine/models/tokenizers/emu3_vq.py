"""Emu3's vision tokenizer (arXiv 2409.18869), a MoVQ over clips, for single pictures.

Published code encodes a picture as a clip of four copies and decodes four frames, of which it keeps the first. Here
the copies are made after the convolutions over pixels, which treat them alike, and only the first frame is decoded,
which depends on no later one: the same numbers for a quarter of the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from .codebook import CodebookCoder
from .coder import CoderConfig
from .emu3_blocks import CausalConv, Level, Middle, OverFrames, Resample, TemporalBlock, make_norm, repeated


@dataclass(frozen=True)
class Emu3VQConfig(CoderConfig):
    """Sizes; the defaults are Emu3's, at the 720 px that Emu3-Gen draws (90x90 codes of 32,768).

    ``attention_levels`` are those whose blocks attend; ``halvings`` of the number of frames make 4 frames one."""

    LISTS: ClassVar[tuple[str, ...]] = ("channel_multipliers", "attention_levels")

    resolution: int = 720
    base_channels: int = 256
    channel_multipliers: tuple[int, ...] = (1, 2, 2, 4)
    num_res_blocks: int = 2
    attention_levels: tuple[int, ...] = (3,)
    z_channels: int = 4
    codebook_size: int = 32768
    halvings: int = 2
    num_groups: int = 32

    def __post_init__(self) -> None:
        self.check(self.num_groups)

    @classmethod
    def published(cls, values: Mapping[str, Any], where: str, resolution: int | None = None) -> Emu3VQConfig:
        """From a published ``config.json`` of Emu3, for pictures of that ``resolution`` (720 where None).
        ``ValueError`` begins with ``where``."""
        vq = values.get("vq_config", {})
        latents, vectors = vq.get("latent_channels", 4), vq.get("embed_dim", 4)
        channels = vq.get("base_channels", 256) * tuple(vq.get("channel_multiplier", (1, 2, 2, 4)))[-1]
        fixed = {"in_channels": 3, "out_channels": 3, "double_latent": False, "num_attention_heads": 1}
        fixed |= {"hidden_size": channels, "embed_dim": latents}
        for name, value in fixed.items():
            if vq.get(name, value) != value:
                raise ValueError(f"{where}: {name} {vq[name]!r} of vq_config is not supported; only {value!r} is")
        frames = vq.get("temporal_downsample_factor", 4)
        if frames < 2 or frames & (frames - 1):
            raise ValueError(f"{where}: temporal_downsample_factor {frames} is not a power of 2 from 2 on")
        names = {"base_channels": "base_channels", "channel_multipliers": "channel_multiplier"}
        names |= {"num_res_blocks": "num_res_blocks", "codebook_size": "codebook_size"}
        names |= {"attention_levels": "attn_resolutions"}
        own = {name: vq[key] for name, key in names.items() if key in vq}
        sizes = {"z_channels": vectors, "halvings": frames.bit_length() - 1}
        return cls.from_dict({**own, **sizes, **({} if resolution is None else {"resolution": resolution})}, where)


class Down(nn.Module):
    """All resolutions, from the largest on."""

    def __init__(self, config: Emu3VQConfig) -> None:
        super().__init__()
        widths, last = config.channels, len(config.channels) - 1
        self.down = nn.ModuleList()
        for index, outputs in enumerate(widths):
            sizes = (widths[max(index - 1, 0)], outputs, config.num_res_blocks, config.num_groups)
            level = Level(*sizes, None, index in config.attention_levels)
            if index < last:
                level.downsample = Resample(outputs, up=False)
            self.down.append(level)

    def forward(self, x: Tensor) -> Tensor:
        for level in self.down:
            x = level(x, None)
        return x


class Up(nn.Module):
    """All resolutions, to the largest; ``up[0]`` is the largest."""

    def __init__(self, config: Emu3VQConfig) -> None:
        super().__init__()
        widths, last = config.channels, len(config.channels) - 1
        self.up = nn.ModuleList()
        for index, outputs in enumerate(widths):
            sizes = (widths[min(index + 1, last)], outputs, config.num_res_blocks + 1, config.num_groups)
            level = Level(*sizes, config.z_channels, index in config.attention_levels)
            if index > 0:
                level.upsample = Resample(outputs, up=True)
            self.up.append(level)

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        for level in reversed(self.up):
            x = level(x, codes)
        return x


class Encoder(nn.Module):
    """Pixels [B, 3, H, W] to features [B, z_channels, h, w]."""

    def __init__(self, config: Emu3VQConfig) -> None:
        super().__init__()
        widths, z = config.channels, config.z_channels
        self.frames = 2**config.halvings
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down_block = Down(config)
        self.middle_block = Middle(widths[-1], config.num_groups, None)
        self.norm_out = make_norm(widths[-1], config.num_groups, None)
        self.conv_out = nn.Conv2d(widths[-1], z, 3, padding=1)
        self.time_conv = nn.ModuleList(OverFrames(z, halves=True) for _ in range(config.halvings))
        self.time_res_stack = nn.ModuleList(TemporalBlock(z) for _ in range(config.num_res_blocks))

    def forward(self, x: Tensor) -> Tensor:
        h = self.middle_block(self.down_block(self.conv_in(x)), None)
        h = repeated(self.conv_out(self.norm_out(h)), self.frames)
        for stage in self.time_conv:
            h = stage(h)
        h = h[:, :, 0]
        for block in self.time_res_stack:
            h = block(h)
        return h


class Decoder(nn.Module):
    """Code vectors [B, z_channels, h, w] to pixels [B, 3, H, W]."""

    def __init__(self, config: Emu3VQConfig) -> None:
        super().__init__()
        widths, z = config.channels, config.z_channels
        self.post_quant_conv = CausalConv(z, z, (3, 1, 1))
        self.time_res_stack = nn.ModuleList(TemporalBlock(z) for _ in range(config.num_res_blocks))
        self.time_conv = nn.ModuleList(OverFrames(z, halves=False) for _ in range(config.halvings))
        self.conv_in = nn.Conv2d(z, widths[-1], 3, padding=1)
        self.middle_block = Middle(widths[-1], config.num_groups, z)
        self.up_block = Up(config)
        self.norm_out = make_norm(widths[0], config.num_groups, z)
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, vectors: Tensor) -> Tensor:
        x = torch.cat((self.post_quant_conv.first(vectors), vectors))
        for block in self.time_res_stack:
            x = block(x)
        for stage in self.time_conv:
            x = stage(x)
        x, codes = x.chunk(2)
        x = self.up_block(self.middle_block(self.conv_in(x), codes), codes)
        return self.conv_out(self.norm_out(x, codes))


class Emu3VQ(CodebookCoder):
    """The tokenizer."""

    config: Emu3VQConfig

    def __init__(self, config: Emu3VQConfig) -> None:
        super().__init__()
        self.config = config
        self.decodes_in: torch.dtype | None = None  # that of the vectors where None
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.quant_conv = CausalConv(config.z_channels, config.z_channels, (3, 1, 1))
        self.codebook = nn.Embedding(config.codebook_size, config.z_channels)

    def latents(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] to unquantised vectors [B, z_channels, h, w]."""
        return self.quant_conv.first(self.encoder(pixels.to(self.codebook.weight.dtype)))

    def reconstruct(self, vectors: Tensor) -> Tensor:
        """Code vectors [B, z_channels, h, w] to pixels [B, 3, H, W], not clipped."""
        found: Tensor = self.decoder(vectors if self.decodes_in is None else vectors.to(self.decodes_in))
        return found

    def lower_decoder(self, dtype: torch.dtype) -> Self:
        """Decode in ``dtype``; what finds codes keeps its own, since near ties flip in a lower precision."""
        self.decoder.to(dtype)
        self.decodes_in = dtype
        return self
