"""Small motion adapters of the published kinds, and AnimateDiff's UNet by us and by diffusers with the same weights."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import Tensor, nn

from acdc.engine.models.diffusion.motion import MotionConfig
from acdc.engine.models.diffusion.motion_unet import MotionUNet
from acdc.engine.models.diffusion.unet import UNetConfig
from acdc.engine.options import StoryOptions, make_options
from tests.helpers.published import TEXT, UNETS, VAES, load_theirs, randomise

STABLE_DIFFUSION = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
}
PROMPTS, SEEDS = ["a beagle in a garden", "the fox sat"], [5, 6]
SIDE, FRAMES = 32, 4
# name -> (the UNet it belongs to, its config): with and without a middle module, as v1-5-2 and v1-5; deeper ones.
ADAPTERS: dict[str, tuple[str, dict[str, Any]]] = {
    "v1-5-2-like": (
        "sd1-like",
        {
            "block_out_channels": [16, 32, 48, 48],
            "motion_norm_num_groups": 8,
            "motion_num_attention_heads": 8,
            "motion_max_seq_length": 8,
        },
    ),
    "no middle": (
        "sd2-like",
        {
            "block_out_channels": [16, 32, 48, 48],
            "motion_norm_num_groups": 8,
            "motion_num_attention_heads": [2, 4, 6, 8],
            "motion_max_seq_length": 6,
            "use_motion_mid_block": False,
        },
    ),
    "deep": (
        "three levels",
        {
            "block_out_channels": [8, 24, 16],
            "motion_layers_per_block": [3, 3, 3],
            "motion_transformer_layers_per_block": [1, 2, 1],
            "motion_transformer_layers_per_mid_block": [2],
            "motion_norm_num_groups": 8,
            "motion_num_attention_heads": 4,
            "motion_max_seq_length": 6,
        },
    ),
}


def adapter_of(name: str) -> nn.Module:
    """diffusers' adapter with random weights."""
    return randomise(diffusers.MotionAdapter(**ADAPTERS[name][1]))


@cache
def motion_pair(name: str, dtype: torch.dtype) -> tuple[MotionUNet, nn.Module]:
    """(ours, diffusers'), clips [B, L, C, h, w] and [B, C, L, h, w]. Half a second to make: a test that changes one
    takes a copy."""
    unet, adapter = randomise(diffusers.UNet2DConditionModel(**UNETS[ADAPTERS[name][0]])), adapter_of(name)
    theirs = diffusers.UNetMotionModel.from_unet2d(unet, adapter).to(dtype).eval()
    ours = MotionUNet(UNetConfig.from_dict(unet.config), MotionConfig.from_dict(adapter.config)).to(dtype).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def options_of(**chosen: Any) -> StoryOptions:
    """Few steps, guided, with a negative prompt."""
    return make_options(
        **{"strength": 0.5, "num_inference_steps": 8, "guidance_scale": 5.0, "negative_prompt": "a vibrant garden"}
        | chosen
    )


def clips_of(count: int, frames: int = FRAMES, side: int = SIDE) -> Tensor:
    """``count`` clips [count, frames, 3, side, side] in [-1, 1], always the same."""
    return torch.rand(count, frames, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def stable_diffusion(tokenizer_folder: Path) -> Any:
    """diffusers' pipeline that the "v1-5-2-like" adapter belongs to, with random weights."""
    return diffusers.StableDiffusionPipeline(
        vae=randomise(diffusers.AutoencoderKL(**VAES["four levels"])),
        text_encoder=randomise(transformers.CLIPTextModel(transformers.CLIPTextConfig(**TEXT))),
        tokenizer=load_theirs(tokenizer_folder),
        unet=randomise(diffusers.UNet2DConditionModel(**UNETS["sd1-like"])),
        scheduler=diffusers.PNDMScheduler(**STABLE_DIFFUSION),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
