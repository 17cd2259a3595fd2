"""Masks of pictures of any size, at the size that a correction works at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..constraints import FrameConstraints, Pixels
from .region import check_marks, cut, resized
from .resize import Size


def fitted(masks: Sequence[Pixels], inner: Size, padded: Size, downscale: int) -> list[FrameConstraints]:
    """Masks uint8 [H, W], white where a picture may change, as constraints of pictures that are resized to ``inner``
    and then ``padded`` by repeated edges. ``ValueError`` for one of which nothing is left at the latents' size,
    ``downscale`` times smaller."""
    below, right = padded[0] - inner[0], padded[1] - inner[1]
    found = [np.pad(resized(mask, inner), ((0, below), (0, right)), mode="edge") for mask in masks]
    for mask in found:
        check_marks(mask, padded, padded, downscale, "mask")
    return [FrameConstraints(mask=mask) for mask in found]


def outside_kept(given: Tensor, shown: Tensor, masks: Sequence[Pixels]) -> Tensor:
    """``shown`` [B, 3, H, W] with the pixels that were ``given`` outside of the masks."""
    inside = torch.from_numpy(np.stack([cut(mask, (given.shape[-2], given.shape[-1])) for mask in masks]))
    return torch.where(inside[:, None].to(shown.device), shown, given.to(shown.device, shown.dtype))
