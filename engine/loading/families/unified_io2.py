"""Unified-IO 2 as published; of noise, at one of its sizes, which is the xl's where ``config`` names none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ...models.layers.fused import fuse
from ...models.unified_io2.config import SIZES, UnifiedIO2Config
from ...models.unified_io2.family import UnifiedIO2Arm
from ...models.unified_io2.model import UnifiedIO2
from ...models.unified_io2.text import LLAMA_PIECES
from ...utils.weights import skeleton
from ..random_weights import fill, hashed_encoder
from ..unified_io2 import load_arm
from . import refuse_config

SPECIAL = 3  # beginning, end, unknown
SIZE = "size"


def load(
    folders: Mapping[str, Path], config: Mapping[str, Any], device: torch.device, dtype: torch.dtype
) -> UnifiedIO2Arm:
    """From ``config.json`` and ``pytorch_model.bin``, with LLaMA's ``tokenizer.model`` in the folder "text" or its own;
    ``config`` may name the "size" that weights of noise would have."""
    refuse_config(config, "unified-io-2", SIZE)
    return load_arm(folders["path"], folders.get("text"), device, dtype)


def make(config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> UnifiedIO2Arm:
    """Networks with random weights: the published "size" of ``config``, with its other entries in place of that
    size's. What reads pictures is float32 at least."""
    size, others = config.get(SIZE, "xl"), {name: value for name, value in config.items() if name != SIZE}
    if size not in SIZES:
        raise ValueError(f"unknown size {size!r} of unified-io-2; choose from {', '.join(SIZES)}")
    sizes = UnifiedIO2Config.from_dict({**asdict(SIZES[size]), **others})
    with skeleton():
        model = UnifiedIO2(sizes)
    fuse(fill(model, device, dtype), device)
    fill(model.image.vit, device, torch.promote_types(dtype, torch.float32))
    return UnifiedIO2Arm(model, hashed_encoder(LLAMA_PIECES, SPECIAL))
