"""Pictures as networks want them. Each way of resizing is part of a metric's definition and is printed with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

Pictures = Sequence[NDArray[np.uint8]]  # [H, W, 3] each, of any sizes
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def shorter_side(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width whose shorter side is ``size``; the longer one is rounded down."""
    short, long = min(height, width), max(height, width)
    other = int(size * long / short)
    return (size, other) if height <= width else (other, size)


def centre(height: int, width: int, size: int) -> tuple[int, int]:
    """Top and left of the square of ``size`` in the middle."""
    return round((height - size) / 2), round((width - size) / 2)


def pil_square(pictures: Pictures, size: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """[N, 3, size, size]: the shorter side by Pillow's bicubic filter (antialiased), the middle, mean and deviation."""
    made = []
    for picture in pictures:
        height, width = shorter_side(picture.shape[0], picture.shape[1], size)
        resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
        top, left = centre(height, width, size)
        made.append(np.asarray(resized.crop((left, top, left + size, top + size))))
    return normalized(torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2) / 255.0, mean, std)


def to_float(picture: NDArray[np.uint8]) -> Tensor:
    """[1, 3, H, W], 0 to 255."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()


def plain_resize(pixels: Tensor, height: int, width: int, mode: str) -> Tensor:
    """By ``bilinear`` or ``bicubic`` without antialiasing, half-pixel centres, values beyond the range kept: VBench's
    resize of float tensors."""
    if tuple(pixels.shape[-2:]) == (height, width):
        return pixels
    return F.interpolate(pixels, (height, width), mode=mode, align_corners=False, antialias=False)


def normalized(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """[N, 3, H, W] in 0 to 1, less the mean, over the deviation of each channel."""
    return (pixels - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
