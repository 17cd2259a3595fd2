"""Unified-IO 2's picture tokenizer, in the file of its transformer; what finds codes is float32 at least."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...models.tokenizers.vqgan import VQGAN, VQGANConfig
from ...utils.weights import skeleton
from ..random_weights import fill
from ..unified_io2 import load_vqgan
from . import refuse_config

SIZES: Mapping[str, Any] = {
    "channel_multipliers": (1, 2, 2, 4),
    "z_channels": 4,
    "codebook_size": 16384,
    "attention": True,
}


def load(folders: Mapping[str, Path], config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> VQGAN:
    """From ``config.json`` and ``pytorch_model.bin``."""
    refuse_config(config, "unified-io-2-vqgan")
    return load_vqgan(folders["path"], device, dtype)


def make(config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> VQGAN:
    """A network with random weights, with ``config`` in place of the published sizes."""
    with skeleton():
        model = VQGAN(VQGANConfig.from_dict({**SIZES, **config}))
    return fill(model, device, torch.promote_types(dtype, torch.float32)).lower_decoder(dtype)
