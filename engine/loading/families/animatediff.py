"""AnimateDiff: a Stable Diffusion directory and a motion adapter's; of noise, 1.5 with the adapter v1-5-2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...models.diffusion.animatediff import PUBLISHED, AnimateDiff
from ...models.diffusion.motion import MotionConfig, position_tables
from ...models.diffusion.motion_unet import MotionUNet
from ...models.diffusion.stable_diffusion import place
from ...models.diffusion.unet import UNetConfig
from ...utils.weights import skeleton
from ..random_weights import fill
from . import refuse_config
from .stable_diffusion import SIZES, others


def load(
    folders: Mapping[str, Path], config: Mapping[str, Any], device: torch.device, dtype: torch.dtype
) -> AnimateDiff:
    """From the base's folder and that of the "motion_adapter", or the base's own ``motion_adapter``."""
    refuse_config(config, "animatediff")
    return AnimateDiff.from_directory(folders["path"], device, dtype, folders.get("motion_adapter"))


def make(config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> AnimateDiff:
    """Networks with random weights, with ``config`` (Stable Diffusion's keys and "motion_adapter") in place of the
    published sizes."""
    sizes = {**SIZES, "motion_adapter": {}, **config}
    with skeleton():
        unet = MotionUNet(UNetConfig.from_dict(sizes["unet"]), MotionConfig.from_dict(sizes["motion_adapter"]))
    place(fill(unet, device, dtype), device).load_state_dict(position_tables(unet), strict=False)
    rest = others(sizes, device, dtype)
    rest["scheduler_config"] |= PUBLISHED
    return AnimateDiff(unet, **rest)
