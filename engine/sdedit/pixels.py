"""Between pictures (uint8, [H, W, 3]) and the models' pixels (float, [B, 3, H, W] in [-1, 1])."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor


def to_uint8(pixels: Tensor) -> NDArray[np.uint8]:
    """[..., 3, H, W] in [-1, 1] -> [..., H, W, 3], rounded to the nearest of 256 levels."""
    levels = pixels.float().clamp(-1, 1).add_(1).mul_(127.5).round_().to(torch.uint8)
    return levels.movedim(-3, -1).contiguous().cpu().numpy()


def from_image(image: Image.Image, resolution: int) -> Tensor:
    """A picture of any size -> [3, R, R] in [-1, 1]: the shorter side scaled to R, then the centre cut out."""
    picture = image.convert("RGB")
    scale = resolution / min(picture.size)
    width, height = (max(resolution, round(side * scale)) for side in picture.size)
    left, top = (width - resolution) // 2, (height - resolution) // 2
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    picture = picture.crop((left, top, left + resolution, top + resolution))
    return from_array(np.asarray(picture)[None])[0]


def from_array(pictures: NDArray[np.uint8]) -> Tensor:
    """[B, H, W, 3] -> [B, 3, H, W] in [-1, 1], float32."""
    return torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2).float() / 127.5 - 1
