"""The autoencoder of Stable Diffusion (AutoencoderKL, arXiv 2112.10752 section 3.1), loading published weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..layers.norms import GroupNorm
from .attention import AttentionBlock
from .blocks import Downsample, ResnetBlock, Upsample
from .config import read_config, refuse

EPS = 1e-6  # of every group norm in this network; not in its config
LOGVAR_RANGE = (-30.0, 20.0)

FIXED: dict[str, tuple[Any, ...]] = {
    "_class_name": ("AutoencoderKL",),
    "act_fn": ("silu", "swish"),
    "latents_mean": (None,),
    "latents_std": (None,),
    "shift_factor": (None,),
}
# force_upcast is advice for the choice of the dtype; the directory's loader leaves that to the user.
IGNORED = frozenset({"sample_size", "force_upcast"})
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


@dataclass(frozen=True)
class VAEConfig:
    """The fields that may vary, with the published names and defaults."""

    in_channels: int = 3
    out_channels: int = 3
    down_block_types: tuple[str, ...] = ("DownEncoderBlock2D",)
    up_block_types: tuple[str, ...] = ("UpDecoderBlock2D",)
    block_out_channels: tuple[int, ...] = (64,)
    layers_per_block: int = 1
    latent_channels: int = 4
    norm_num_groups: int = 32
    scaling_factor: float = 0.18215
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True
    mid_block_add_attention: bool = True

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], where: str = "VAE config") -> VAEConfig:
        """Reads a published config. Raises ValueError (one line) naming the field that is not supported."""
        value = read_config(cls, config, where, FIXED, IGNORED)
        levels = len(value.block_out_channels)
        for key, known in (("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")):
            if getattr(value, key) != (known,) * levels:
                refuse(where, key, getattr(value, key), f"{known} for each of {levels} levels")
        for channels in value.block_out_channels:
            if channels % value.norm_num_groups:
                refuse(where, "norm_num_groups", value.norm_num_groups, f"a divisor of {channels} channels")
        return value


def current_key(name: str) -> str:
    """The name today's weights use for a tensor: attention layers of early files were spelt differently."""
    return re.sub(r"(?<=\.attentions\.0\.)(query|key|value|proj_attn)(?=\.)", lambda m: OLD_ATTENTION[m[1]], name)


class VAE(nn.Module):
    """Pixels to latents at 1 / 2^(levels-1) of the size, and back. Latents here are unscaled."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        z = config.latent_channels
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = nn.Conv2d(2 * z, 2 * z, 1) if config.use_quant_conv else None
        self.post_quant_conv = nn.Conv2d(z, z, 1) if config.use_post_quant_conv else None

    @property
    def scaling_factor(self) -> float:
        """The UNet works on `latents * scaling_factor`, which have about unit variance."""
        return self.config.scaling_factor

    @property
    def downscale(self) -> int:
        """Pixels per latent along one side."""
        return 2 ** (len(self.config.block_out_channels) - 1)

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """`pixels` [B, 3, H, W] in [-1, 1] -> (mean, log variance) of the posterior, each [B, 4, h, w].

        The mean is also the mode, which is what correction uses. The log variance is clamped to -30..20.
        """
        moments = self.encoder(pixels)
        if self.quant_conv is not None:
            moments = self.quant_conv(moments)
        mean, logvar = moments.chunk(2, dim=1)
        return mean, logvar.clamp(*LOGVAR_RANGE)

    def decode(self, latents: Tensor) -> Tensor:
        """Unscaled `latents` [B, 4, h, w] -> pixels [B, 3, H, W], about [-1, 1] and not clamped."""
        if self.post_quant_conv is not None:
            latents = self.post_quant_conv(latents)
        return self.decoder(latents)


class Encoder(nn.Module):
    """[B, 3, H, W] -> [B, 2 * latent_channels, h, w]."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths, groups = config.block_out_channels, config.norm_num_groups
        sources = (widths[0], *widths[:-1])
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            Level(a, b, config.layers_per_block, groups, down=i < len(widths) - 1)
            for i, (a, b) in enumerate(zip(sources, widths, strict=True))
        )
        self.mid_block = Mid(widths[-1], groups, config.mid_block_add_attention)
        self.conv_norm_out = GroupNorm(groups, widths[-1], EPS)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(self.conv_norm_out(self.mid_block(x)))


class Decoder(nn.Module):
    """[B, latent_channels, h, w] -> [B, 3, H, W]; one ResNet block a level more than the encoder."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths, groups = config.block_out_channels[::-1], config.norm_num_groups
        sources = (widths[0], *widths[:-1])
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid_block = Mid(widths[0], groups, config.mid_block_add_attention)
        self.up_blocks = nn.ModuleList(
            Level(a, b, config.layers_per_block + 1, groups, up=i < len(widths) - 1)
            for i, (a, b) in enumerate(zip(sources, widths, strict=True))
        )
        self.conv_norm_out = GroupNorm(groups, widths[-1], EPS)
        self.conv_out = nn.Conv2d(widths[-1], config.out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(x))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(self.conv_norm_out(x))


class Level(nn.Module):
    """ResNet blocks at one size, then half (`down`) or twice (`up`) the size."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        layers: int,
        groups: int,
        down: bool = False,
        up: bool = False,
    ) -> None:
        super().__init__()
        sources = [in_channels] + [channels] * (layers - 1)
        self.resnets = nn.ModuleList(ResnetBlock(c, channels, groups, EPS) for c in sources)
        self.downsamplers = nn.ModuleList([Downsample(channels, corner=True)] if down else [])
        self.upsamplers = nn.ModuleList([Upsample(channels)] if up else [])

    def forward(self, x: Tensor) -> Tensor:
        for layer in (*self.resnets, *self.downsamplers, *self.upsamplers):
            x = layer(x)
        return x


class Mid(nn.Module):
    """ResNet, attention (if any), ResNet at the smallest size."""

    def __init__(self, channels: int, groups: int, attention: bool) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([AttentionBlock(channels, groups, EPS)] if attention else [])
        self.resnets = nn.ModuleList(ResnetBlock(channels, channels, groups, EPS) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.resnets[0], *self.attentions, self.resnets[1]):
            x = layer(x)
        return x
