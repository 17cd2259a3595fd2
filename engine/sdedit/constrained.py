"""A batch's constraints as a correction takes them: before its first step, between its steps, after its last one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .region import Region
from .steering import Control, Kept, Steering

Encode = Callable[..., Tensor]  # pixels, and the posterior's noise where it is sampled -> scaled latents


@dataclass(frozen=True)
class Constrained:
    """``region`` may change (None: everything); ``inpaints`` says that the UNet reads it (9 channels). ``control``
    steers. ``from_noise`` starts from noise alone, as strength 1 of diffusers' inpainting does; ``paste_back`` shows
    the given pixels outside of the region; ``masked_noise`` [B, C, h, w] samples the masked picture's posterior."""

    region: Region | None = None
    control: Control | None = None
    inpaints: bool = False
    from_noise: bool = False
    paste_back: bool = True
    masked_noise: Tensor | None = None

    def steering(self, encode: Encode, pixels: Tensor, latents: Tensor, noise: Tensor) -> Steering:
        """``pixels`` [B, 3, H', W'] in [-1, 1] are what is corrected, ``latents`` theirs, ``noise`` what they start
        with."""
        if self.region is None:
            return Steering(control=self.control)
        if not self.inpaints:
            return Steering(kept=Kept(self.region.latent, latents, noise), control=self.control)
        masked = pixels * (1 - self.region.working)  # 0 is mid grey
        posterior = () if self.masked_noise is None else (self.masked_noise,)
        channels = torch.cat((self.region.latent, encode(masked, *posterior)), dim=1)
        return Steering(channels=channels, control=self.control)

    def paste(self, pixels: Tensor, shown: Tensor) -> Tensor:
        """``shown`` with the very ``pixels`` [B, 3, H, W] that were given, outside of the region."""
        if self.region is None or not self.paste_back:
            return shown
        return torch.where(self.region.frame, shown, pixels)
