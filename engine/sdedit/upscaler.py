"""The small picture that an upscaling diffusion model reads at every step of a correction.

It is what the model is to draw large: the frame itself, or what another model has made of it, a quarter of the size for
DeepFloyd IF. It is enlarged as in the model's training (bilinear, corners on corners) and noised once.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..models.diffusion.schedule import add_noise
from ..models.diffusion.stable_diffusion import Upscaling
from .resize import Size, resize, working_size


class Upscaler:
    """For frames that are corrected with a shorter side of ``size`` pixels; None: at their own."""

    def __init__(self, upscaling: Upscaling, size: int | None) -> None:
        self.factor, self.alpha, self.size = upscaling.factor, upscaling.alpha, size

    def shrink(self, pixels: Tensor) -> Tensor:
        """Frames [B, 3, H, W] -> [B, 3, h, w], bicubic, antialiased."""
        height, width = self._working(pixels)
        return resize(pixels, (max(1, round(height / self.factor)), max(1, round(width / self.factor))))

    def enlarge(self, small: Tensor, pixels: Tensor, noise: Tensor) -> Tensor:
        """Small pictures at the size of the correction of ``pixels``, with ``noise``: [B, 3, H', W']."""
        large = F.interpolate(small, size=self._working(pixels), mode="bilinear", align_corners=True)
        return add_noise(large, noise, self.alpha)

    def _working(self, pixels: Tensor) -> Size:
        return working_size(pixels.shape[-2], pixels.shape[-1], self.size)
