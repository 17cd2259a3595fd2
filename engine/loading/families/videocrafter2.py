"""VideoCrafter2's published ``model.ckpt``; of noise, at its published sizes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...models.diffusion.stable_diffusion import StableDiffusion, place, sample_size_of
from ...models.diffusion.video_unet import VideoUNet, VideoUNetConfig
from ...utils.weights import skeleton
from ..random_weights import fill
from ..videocrafter2 import SIZES, load_videocrafter2
from .stable_diffusion import others


def load(
    folders: Mapping[str, Path], config: Mapping[str, Any], device: torch.device, dtype: torch.dtype
) -> StableDiffusion:
    """From ``model.ckpt`` and the tokenizer in the folder "text", or its own; ``config`` as for :func:`make`, since the
    file names no sizes."""
    return load_videocrafter2(folders["path"], folders.get("text"), {**SIZES, **config}, device, dtype)


def make(config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> StableDiffusion:
    """Networks with random weights, with ``config`` ("unet", "vae", "text_encoder", "scheduler") in place of the
    published sizes."""
    sizes = {**SIZES, **config}
    with skeleton():
        unet = VideoUNet(VideoUNetConfig.from_dict(sizes["unet"]))
    return StableDiffusion(
        place(fill(unet, device, dtype), device),
        **others(sizes, device, dtype),
        sample_size=sample_size_of(sizes["unet"]),
    )
