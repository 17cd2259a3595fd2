"""The judge's view of a picture: its luma alone, small, with brightness and contrast taken out.

A judge that sees colour accepts a mere recolouring (a "rabbit" without ears), so colour never reaches the network.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

LUMA = (19595, 38470, 7471)  # ITU-R 601 in 1/65536, the integers of PIL's convert("L")
CONTRAST_FLOOR = 4.0 / 255.0  # below this spread a picture counts as flat; keeps noise from being blown up

Pictures = np.ndarray | Tensor | Sequence[Image.Image]


def grayscale(images: Tensor) -> Tensor:
    """Luma in 0..255 of uint8 ``[N, H, W, 3]`` -> float32 ``[N, 1, H, W]``.

    Rounded to whole levels with PIL's own integers: a picture and its ``convert("L")`` give the same numbers.
    """
    red, green, blue = images.to(torch.int32).unbind(-1)
    luma = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue + 0x8000) >> 16
    return luma.to(torch.float32).unsqueeze(1)


def shrink(images: Tensor, size: int) -> Tensor:
    """Resize ``[N, C, H, W]`` to ``[N, C, size, size]`` with an anti-aliased triangle filter, in any scale."""
    if images.shape[-2:] == (size, size):
        return images
    return functional.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)


def normalise(gray: Tensor) -> Tensor:
    """Zero mean and unit spread for each picture of ``[N, 1, H, W]`` in 0..1."""
    centred = gray - gray.mean(dim=(1, 2, 3), keepdim=True)
    spread = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return centred / spread.clamp_min(CONTRAST_FLOOR)


def as_batches(images: Pictures, batch: int = 256) -> list[Tensor]:
    """uint8 ``[n, H, W, 3]`` batches, in order; pictures of different sizes never share one.

    ValueError for an array that is not uint8 ``[N, H, W, 3]``.
    """
    if isinstance(images, np.ndarray | Tensor):
        tensor = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
        if tensor.dtype != torch.uint8 or tensor.ndim != 4 or tensor.shape[-1] != 3:
            shape = tuple(tensor.shape)
            raise ValueError(f"images must be uint8 [N, H, W, 3], got {tensor.dtype} {list(shape)}")
        return list(tensor.split(batch)) if len(tensor) else []
    batches: list[list[np.ndarray]] = []
    for image in images:
        pixels = np.array(image.convert("RGB"))
        if batches and len(batches[-1]) < batch and batches[-1][-1].shape == pixels.shape:
            batches[-1].append(pixels)
        else:
            batches.append([pixels])
    return [torch.from_numpy(np.stack(group)) for group in batches]
