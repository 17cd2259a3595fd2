"""SDXL of noise at its published sizes (``random_weights.py``), and which weights an SDXL was loaded from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..models.diffusion.clip_text import CLIPText, CLIPTextConfig
from ..models.diffusion.sdxl.model import SDXL, weight_files
from ..models.diffusion.sdxl.text import ProjectedText, ProjectedTextConfig
from ..models.diffusion.sdxl.unet import SDXLUNet, SDXLUNetConfig
from ..models.diffusion.stable_diffusion import place
from ..models.diffusion.vae import VAE, VAEConfig
from ..utils.file_digest import file_digest
from ..utils.weights import skeleton
from .families.stable_diffusion import SIZES as SD15
from .fingerprint import DIGITS
from .random_weights import HashedTokenizer, fill

# The fields of stable-diffusion-xl-base-1.0's configs that differ from the classes' defaults.
SIZES: Mapping[str, Mapping[str, Any]] = {
    "unet": {
        "addition_embed_type": "text_time",
        "attention_head_dim": (5, 10, 20),
        "block_out_channels": (320, 640, 1280),
        "cross_attention_dim": 2048,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "sample_size": 128,
        "transformer_layers_per_block": (1, 2, 10),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "use_linear_projection": True,
    },
    "vae": {**SD15["vae"], "scaling_factor": 0.13025},
    "text_encoder": SD15["text_encoder"],
    "text_encoder_2": {
        "hidden_act": "gelu",
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_attention_heads": 20,
        "num_hidden_layers": 32,
        "projection_dim": 1280,
    },
    "scheduler": {
        "_class_name": "EulerDiscreteScheduler",
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
    },
}


def skeletons(sizes: Mapping[str, Mapping[str, Any]] = SIZES) -> tuple[SDXLUNet, VAE, CLIPText, ProjectedText]:
    """The four networks without values."""
    with skeleton():
        return (
            SDXLUNet(SDXLUNetConfig.from_dict(sizes["unet"])),
            VAE(VAEConfig.from_dict(sizes["vae"])),
            CLIPText(CLIPTextConfig.from_dict(sizes["text_encoder"])),
            ProjectedText(ProjectedTextConfig.from_dict(sizes["text_encoder_2"])),
        )


def make_sdxl(device: torch.device, dtype: torch.dtype, sizes: Mapping[str, Mapping[str, Any]] | None = None) -> SDXL:
    """Networks with random weights, at the published sizes unless others are given."""
    sizes = SIZES if sizes is None else sizes
    unet, vae, encoder, second = skeletons(sizes)
    config = encoder.config
    return SDXL(
        unet=place(fill(unet, device, dtype), device),
        vae=place(fill(vae, device, torch.promote_types(dtype, torch.float32)), device),
        text_encoder=place(fill(encoder, device, dtype), device),
        text_encoder_2=place(fill(second, device, dtype), device),
        tokenizer=HashedTokenizer(config.vocab_size, config.max_position_embeddings),
        tokenizer_2=HashedTokenizer(second.config.vocab_size, second.config.max_position_embeddings),
        scheduler_config=dict(sizes["scheduler"]),
        sample_size=sizes["unet"]["sample_size"],
    )


def sdxl_fingerprint(path: Path, unet_file: Path | None, dtype: torch.dtype) -> str:
    """Digits that change with the name or any byte of any file that is read."""
    digest = hashlib.sha256()
    for file in weight_files(path, unet_file, dtype):
        name = file.relative_to(path).as_posix() if file.is_relative_to(path) else f"unet/{file.name}"
        digest.update(f"{name}\0{file_digest(file)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:DIGITS]
