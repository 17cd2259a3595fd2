"""Stable Diffusion from a diffusers directory; of noise, version 1.5 at its published sizes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...models.diffusion.clip_text import CLIPText, CLIPTextConfig
from ...models.diffusion.controlnet import ControlNet, ControlNetConfig
from ...models.diffusion.stable_diffusion import StableDiffusion, place
from ...models.diffusion.unet import UNet, UNetConfig
from ...models.diffusion.vae import VAE, VAEConfig
from ...utils.weights import skeleton
from ..random_weights import HashedTokenizer, fill
from . import refuse_config

# The fields of stable-diffusion-v1-5's configs that differ from the classes' defaults.
SIZES: Mapping[str, Mapping[str, Any]] = {
    "unet": {"cross_attention_dim": 768},
    "vae": {
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
    },
    "text_encoder": {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
    "scheduler": {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "clip_sample": False,
        "num_train_timesteps": 1000,
        "set_alpha_to_one": False,
        "steps_offset": 1,
    },
}


def load(
    folders: Mapping[str, Path], config: Mapping[str, Any], device: torch.device, dtype: torch.dtype
) -> StableDiffusion:
    """From ``model_index.json`` and its neighbours; a ControlNet and a depth model from folders of their own."""
    refuse_config(config, "stable-diffusion", "unet", "controlnet")  # for noise; here their own files tell the sizes
    further = {name: folders.get(name) for name in ("controlnet", "depth_model")}
    return StableDiffusion.from_directory(folders["path"], device, dtype).steered(**further)


def make(config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> StableDiffusion:
    """Networks with random weights, with ``config`` ("unet", "vae", "text_encoder", "scheduler") in place of version
    1.5's sizes; with a ControlNet where it has "controlnet"."""
    sizes = {**SIZES, **config}
    with skeleton():
        unet = UNet(UNetConfig.from_dict(sizes["unet"]))
        control = ControlNet(ControlNetConfig.from_dict(sizes["controlnet"])) if "controlnet" in sizes else None
    return StableDiffusion(
        place(fill(unet, device, dtype), device),
        **others(sizes, device, dtype),
        controlnet=None if control is None else place(fill(control, device, dtype), device),
    )


def others(sizes: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """All but the UNet."""
    text = CLIPTextConfig.from_dict(sizes["text_encoder"])
    with skeleton():
        vae, encoder = VAE(VAEConfig.from_dict(sizes["vae"])), CLIPText(text)
    return {
        "vae": place(fill(vae, device, dtype), device),
        "text_encoder": place(fill(encoder, device, dtype), device),
        "tokenizer": HashedTokenizer(text.vocab_size, text.max_position_embeddings),
        "scheduler_config": dict(sizes["scheduler"]),
    }
