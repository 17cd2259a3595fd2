"""Show-o's transformer with Phi-1.5's tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...models.show_o.family import ShowOArm
from ...models.show_o.model import ShowO, ShowOConfig
from ...utils.weights import skeleton
from ..random_weights import fill, hashed_encoder
from . import refuse_config


def load(folders: Mapping[str, Path], config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> ShowOArm:
    """From ``config.json`` and ``pytorch_model.safetensors``; "text" is the tokenizer's folder, and
    ``num_vq_tokens`` of ``config`` the codes a frame that the bundle's tokenizer and options are for."""
    refuse_config(config, "show-o", "num_vq_tokens")
    arm = ShowOArm.from_directory(folders["path"], device, dtype, folders.get("text"))
    found = arm.config.num_vq_tokens
    if config.get("num_vq_tokens", found) != found:
        raise ValueError(f"{folders['path']}: {found} codes a frame; this bundle's has {config['num_vq_tokens']}")
    return arm


def make(config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> ShowOArm:
    """Networks with random weights, with ``config`` in place of the sizes of ``showlab/show-o``."""
    sizes = ShowOConfig.from_dict(config)
    with skeleton():
        model = ShowO(sizes)
    return ShowOArm(fill(model, device, dtype), hashed_encoder(sizes.text_end))
