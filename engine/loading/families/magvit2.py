"""Show-o's picture tokenizer; ``config`` may name the ``resolution``, which the published file does not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...models.tokenizers.magvit2 import MAGVIT2
from ...models.tokenizers.magvit2_config import MAGVIT2Config
from ...utils.weights import skeleton
from ..random_weights import fill
from . import refuse_config


def load(folders: Mapping[str, Path], config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> MAGVIT2:
    """From ``config.json`` and ``pytorch_model.safetensors``."""
    refuse_config(config, "magvit2", "resolution")
    return MAGVIT2.from_directory(folders["path"], device, dtype, config.get("resolution"))


def make(config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> MAGVIT2:
    """A network with random weights; the encoder, which finds codes, is float32 at least."""
    with skeleton():
        model = MAGVIT2(MAGVIT2Config.from_dict(dict(config)))
    made = fill(model, device, torch.promote_types(dtype, torch.float32))
    made.decoder.to(dtype)
    return made
