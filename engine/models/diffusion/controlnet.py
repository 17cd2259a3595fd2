"""ControlNet (arXiv 2302.05543): a picture, such as a depth map, steers a UNet that stays as it was trained.

It is a copy of the UNet's encoder half and middle. The picture enters after the first convolution, and a 1x1
convolution after each map of the way down and after the middle makes a residual, which the UNet's way up reads:

    hint = control.hint(picture)                                  # once a frame
    shifts, kv = control.time_shifts(timesteps), control.context_kv(context)    # once a schedule, once a prompt
    residuals = control(latents, shifts, hint, kv)                # each step
    noise = unet(latents, unet_shifts, unet_kv, residuals)

Published ControlNets of other conditions (edges, poses) have the same network; only weights and picture differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.weights import read_json, skeleton
from .attention import KV, for_branches
from .checkpoint import load_component
from .config import refuse
from .unet import FIXED, EncoderConfig, UNetConfig, UNetEncoder

CONTROLNET_FIXED: dict[str, tuple[Any, ...]] = {
    **FIXED,
    "_class_name": ("ControlNetModel",),
    "conditioning_channels": (3,),
    "global_pool_conditions": (False,),
    "time_cond_proj_dim": (None,),
}
ORDERS = ("rgb", "bgr")


@dataclass(frozen=True)
class ControlNetConfig(EncoderConfig):
    """The fields of a published config that may vary."""

    FIXED: ClassVar = CONTROLNET_FIXED

    conditioning_embedding_out_channels: tuple[int, ...] = (16, 32, 96, 256)
    controlnet_conditioning_channel_order: str = "rgb"

    @property
    def downscale(self) -> int:
        """Pixels of the picture per latent along one side."""
        return int(2 ** (len(self.conditioning_embedding_out_channels) - 1))

    def check(self, where: str) -> None:
        super().check(where)
        order = "controlnet_conditioning_channel_order"
        if (found := getattr(self, order)) not in ORDERS:
            refuse(where, order, found, " or ".join(ORDERS))

    def check_fit(self, unet: UNetConfig, downscale: int, where: str) -> None:
        """Raises ValueError (one line, begins with `where`) that names the field in which it is another UNet's.

        `downscale` is the VAE's. A UNet for inpainting has more input channels than latents; ControlNets take latents.
        """
        for key in ("down_block_types", "block_out_channels", "layers_per_block", "cross_attention_dim"):
            if (found := getattr(self, key)) != (wanted := getattr(unet, key)):
                raise ValueError(f"{where}: {key}={found!r} does not fit the UNet, which has {wanted!r}")
        if self.in_channels != unet.out_channels:
            raise ValueError(f"{where}: in_channels={self.in_channels}, but latents have {unet.out_channels}")
        if self.downscale != downscale:
            found = self.conditioning_embedding_out_channels
            raise ValueError(
                f"{where}: conditioning_embedding_out_channels={found!r} makes 1 latent of {self.downscale} pixels, "
                f"the VAE of {downscale}"
            )


class HintEmbedding(nn.Module):
    """A picture [B, 3, H, W] in [0, 1] -> [B, channels, h, w], to be added to the first convolution's output."""

    def __init__(self, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for narrow, wide in pairwise(widths):
            self.blocks.append(nn.Conv2d(narrow, narrow, 3, padding=1))
            self.blocks.append(nn.Conv2d(narrow, wide, 3, padding=1, stride=2))
        self.conv_out = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        x = F.silu(self.conv_in(picture))
        for block in self.blocks:
            x = F.silu(block(x))
        return self.conv_out(x)


class ControlNet(UNetEncoder):
    """Residuals for a UNet's way up, under a ControlNet's published names."""

    def __init__(self, config: ControlNetConfig) -> None:
        super().__init__(config)
        self.config = config
        widths = config.block_out_channels
        self.controlnet_cond_embedding = HintEmbedding(config.conditioning_embedding_out_channels, widths[0])
        self.controlnet_down_blocks = nn.ModuleList(nn.Conv2d(c, c, 1) for c in self.skip_channels)
        self.controlnet_mid_block = nn.Conv2d(widths[-1], widths[-1], 1)
        self._widths = [block.conv1.out_channels for block in self._resnets()]

    @classmethod
    def from_directory(cls, path: str | Path, dtype: torch.dtype = torch.float32) -> ControlNet:
        """Loads a ControlNet in diffusers' layout on the CPU: `config.json` and its weights as safetensors.

        Raises ValueError (one line) that names the file and the key, as `StableDiffusion.from_directory` does.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such directory")
        file = folder / "config.json"
        with skeleton():
            network = cls(ControlNetConfig.from_dict(read_json(file), str(file)))
        load_component(network, folder, dtype)
        return network

    def hint(self, picture: Tensor) -> Tensor:
        """The picture's part of the first map, which no step changes: RGB [B, 3, H, W] in [0, 1] -> [B, C, h, w]."""
        turned = self.config.controlnet_conditioning_channel_order == "bgr"
        hint: Tensor = self.controlnet_cond_embedding(picture.flip(1) if turned else picture)
        return hint

    def forward(self, latents: Tensor, shifts: Tensor, hint: Tensor, kv: Sequence[KV]) -> list[Tensor]:
        """`latents` [B, in, h, w], `shifts` [1, P], `hint` [B, C, h, w], `kv` of n B rows -> a residual for each map
        of the way down and one for the middle, of B rows before the first cross-attention and n B after it."""
        rest, rows = iter(kv), iter(shifts.split(self._widths, -1))
        x = self.conv_in(latents)
        skips, middle = self._encode(x + for_branches(hint, len(x)), rows, rest)
        assert next(rest, None) is None, "keys and values of another network"
        residuals = [layer(skip) for layer, skip in zip(self.controlnet_down_blocks, skips, strict=True)]
        return [*residuals, self.controlnet_mid_block(middle)]


def guess_scales(count: int) -> list[float]:
    """Factors of the residuals in guess mode: 0.1 for the first, growing evenly in the exponent to 1 for the middle."""
    return [10.0 ** (-1 + index / (count - 1)) for index in range(count)]
