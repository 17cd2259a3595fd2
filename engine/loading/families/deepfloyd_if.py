"""DeepFloyd IF from its diffusers directories; of noise, IF-II-L with T5 v1.1 XXL, and IF-I-XL as its stage one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...models.diffusion.deepfloyd.config import IFUNetConfig
from ...models.diffusion.deepfloyd.model import STAGE_ONE, from_directories, text_dtype, upscaling_of
from ...models.diffusion.deepfloyd.pixel_coder import PixelCoder
from ...models.diffusion.deepfloyd.t5_text import T5Text, T5TextConfig
from ...models.diffusion.deepfloyd.t5_tokenizer import T5Tokenizer
from ...models.diffusion.deepfloyd.unet import NOISE_LEVEL, IFUNet
from ...models.diffusion.stable_diffusion import StableDiffusion, place
from ...utils.weights import skeleton
from ..random_weights import fill, hashed_encoder
from . import refuse_config

# The fields of the published configs that count.
BOTH: Mapping[str, Any] = {
    "act_fn": "gelu",
    "addition_embed_type": "text",
    "attention_head_dim": 64,
    "cross_attention_norm": "group_norm",
    "encoder_hid_dim": 4096,
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "out_channels": 6,
    "resnet_time_scale_shift": "scale_shift",
}
IF_I_XL: Mapping[str, Any] = {
    **BOTH,
    "in_channels": 3,
    "down_block_types": ("ResnetDownsampleBlock2D",) + ("SimpleCrossAttnDownBlock2D",) * 3,
    "up_block_types": ("SimpleCrossAttnUpBlock2D",) * 3 + ("ResnetUpsampleBlock2D",),
    "block_out_channels": (704, 1408, 2112, 2816),
    "layers_per_block": 3,
    "cross_attention_dim": 2816,
}
IF_II_L: Mapping[str, Any] = {
    **BOTH,
    "in_channels": 6,
    "down_block_types": ("ResnetDownsampleBlock2D",) * 3 + ("SimpleCrossAttnDownBlock2D",) * 2,
    "up_block_types": ("SimpleCrossAttnUpBlock2D",) * 2 + ("ResnetUpsampleBlock2D",) * 3,
    "block_out_channels": (160, 320, 640, 960, 1280),
    "layers_per_block": (2, 2, 3, 5, 5),
    "cross_attention_dim": 1280,
    "class_embed_type": "timestep",
    "time_embedding_dim": 1280,
    "time_embedding_act_fn": "gelu",
    "resnet_skip_time_act": True,
    "resnet_out_scale_factor": 1.4142271248762552,
    "mid_block_scale_factor": 1.4142271248762552,
}
SCHEDULER: Mapping[str, Any] = {
    "_class_name": "DDPMScheduler",
    "num_train_timesteps": 1000,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "epsilon",
    "variance_type": "learned_range",
    "thresholding": True,
    "dynamic_thresholding_ratio": 0.95,
    "sample_max_value": 1.0,
}
SPECIAL = 2  # padding, end


def load(
    folders: Mapping[str, Path], config: Mapping[str, Any], device: torch.device, dtype: torch.dtype
) -> StableDiffusion:
    """From stage II's folder and that of "stage_one", if there is one; ``config`` may name the ``noise_level``."""
    refuse_config(config, "deepfloyd-if", "noise_level", STAGE_ONE)  # this one for noise: its files tell
    level = config.get("noise_level", NOISE_LEVEL)
    return from_directories(folders["path"], folders.get(STAGE_ONE), device, dtype, level)


def make(config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> StableDiffusion:
    """Networks with random weights, with ``config`` ("unet", "text_encoder", "stage_one") in place of published sizes;
    with a stage one where it has "stage_one"."""
    text_config = T5TextConfig(**config.get("text_encoder", {}))
    level = config.get("noise_level", NOISE_LEVEL)
    with skeleton():
        encoder = T5Text(text_config)
        unet = IFUNet(IFUNetConfig.from_dict({**IF_II_L, **config.get("unet", {})}), level)
        first = IFUNet(IFUNetConfig.from_dict({**IF_I_XL, **config[STAGE_ONE]})) if STAGE_ONE in config else None
    tokenizer = T5Tokenizer(hashed_encoder(text_config.vocab_size, SPECIAL), str, text_config.vocab_size)
    text = place(fill(encoder, device, text_dtype(dtype)), device), tokenizer
    stage_one = None
    if first is not None:
        ready = place(fill(first, device, dtype), device)
        stage_one = StableDiffusion(ready, PixelCoder(), *text, {**SCHEDULER, "sample_max_value": 1.5})
    return StableDiffusion(
        place(fill(unet, device, dtype), device),
        PixelCoder(),
        *text,
        dict(SCHEDULER),
        upscaling=upscaling_of(SCHEDULER, level),
        stage_one=stage_one,
    )
