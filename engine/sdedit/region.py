"""The part of a picture that a correction may change, at the three sizes at which it counts.

A mask is resized as Pillow's LANCZOS does and then cut at half: 1 may change, 0 stays. A latent may change where the
first of its pixels may (row 8 i, column 8 j of a VAE of 8 pixels a latent), as diffusers has it; so thin lines vanish.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..constraints import HALF, Pixels
from .resize import Size


class Region(NamedTuple):
    """Masks of a batch, 1 where a picture may change: ``frame`` bool [B, 1, H, W] at the frames' size, ``working`` [B,
    1, H', W'] at the correction's, ``latent`` [B, 1, h, w] at the latents'; floats are of the pixels' dtype."""

    frame: Tensor
    working: Tensor
    latent: Tensor


def region_of(masks: Sequence[Pixels | None], frame: Size, working: Size, downscale: int, like: Tensor) -> Region:
    """``masks`` are uint8 [H, W] of any size (None: everything may change), one a picture; ``downscale`` are the VAE's
    pixels a latent; device and dtype are those of ``like``."""
    shown, worked = (torch.from_numpy(np.stack([cut(mask, size) for mask in masks])) for size in (frame, working))
    at_work = worked[:, None].to(like.device, like.dtype)
    height, width = working[0] // downscale * downscale, working[1] // downscale * downscale
    return Region(shown[:, None].to(like.device), at_work, at_work[..., :height:downscale, :width:downscale])


def cut(mask: Pixels | None, size: Size) -> NDArray[np.bool_]:
    """A mask resized to ``size`` (height, width) and cut at half: bool [H, W]."""
    if mask is None:
        return np.ones(size, bool)
    return np.asarray(resized(mask, size)) >= HALF


def resized(picture: Pixels, size: Size) -> Pixels:
    """uint8 [H, W] or [H, W, 3] -> the same of another size, by Pillow's LANCZOS."""
    if picture.shape[:2] == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.LANCZOS))


def check_marks(mask: Pixels, frame: Size, working: Size, downscale: int, what: str) -> None:
    """``ValueError`` (one line, begins with ``what``) for a mask of which nothing is left at these sizes."""
    if not cut(mask, frame).any() or not cut(mask, working)[::downscale, ::downscale].any():
        raise ValueError(
            f"{what} marks no latent of a frame of {working[1]} x {working[0]} pixels; "
            f"paint what may change at least {downscale} of them wide"
        )
