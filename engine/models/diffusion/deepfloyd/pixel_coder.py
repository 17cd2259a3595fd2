"""In the place of an autoencoder, for a diffusion model that works on pixels: pictures are their own latents."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class PixelCoderConfig(NamedTuple):
    """Sizes as an autoencoder's config has them."""

    latent_channels: int = 3


class PixelCoder(nn.Module):
    """Hands on what it is given. ``encoder`` and ``decoder`` are the stages that backends may plan; there is nothing to
    plan, so none is called."""

    scaling_factor = 1.0
    downscale = 1

    def __init__(self) -> None:
        super().__init__()
        self.config, self.encoder, self.decoder = PixelCoderConfig(), nn.Identity(), nn.Identity()

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The pixels and the log of their variance, which is 0."""
        return pixels, torch.full_like(pixels, float("-inf"))

    def decode(self, latents: Tensor) -> Tensor:
        """The latents."""
        return latents
