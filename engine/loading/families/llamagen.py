"""LlamaGen's VQ tokenizer from Janus-Pro's directory; what finds codes is float32 at least."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...models.tokenizers.llamagen import LlamaGen, LlamaGenConfig
from ...utils.weights import read_json, skeleton
from ..random_weights import fill
from ..renamed import Source, load_renamed
from . import refuse_config

PREFIX = "model.vqmodel."
UNUSED = ("model.vision_model.", "model.aligner.", "model.generation_", "model.language_model.", "lm_head.")
# Ours -> theirs, in this order.
NAMES = {
    r"^codebook\.": "quantize.embedding.",
    r"^encoder\.levels\.": "encoder.down.",
    r"^decoder\.levels\.": "decoder.up.",
    r"\.blocks\.": ".block.",
    r"\.attentions\.": ".attn.",
    r"\.shortcut\.": ".nin_shortcut.",
    r"^encoder(.*)\.resample\.": r"encoder\1.downsample.",
    r"^decoder(.*)\.resample\.": r"decoder\1.upsample.",
    r"\.mid\.0\.": ".mid.block_1.",
    r"\.mid\.1\.": ".mid.attn_1.",
    r"\.mid\.2\.": ".mid.block_2.",
}


def load(folders: Mapping[str, Path], config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> LlamaGen:
    """From ``config.json`` and the tensors of the whole model, of which it reads its own."""
    refuse_config(config, "llamagen")
    path = folders["path"] / "config.json"
    sizes = LlamaGenConfig.published(read_json(path), str(path))
    with skeleton():
        model = LlamaGen(sizes)
    keys = {name: Source(published_key(name)) for name in model.state_dict()}
    load_renamed(model, folders["path"], keys, UNUSED, device, torch.promote_types(dtype, torch.float32))
    return model.to(device).eval().requires_grad_(False).lower_decoder(dtype)


def make(config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> LlamaGen:
    """A network with random weights, with ``config`` in place of Janus-Pro's sizes."""
    with skeleton():
        model = LlamaGen(LlamaGenConfig.from_dict(dict(config)))
    return fill(model, device, torch.promote_types(dtype, torch.float32)).lower_decoder(dtype)


def published_key(name: str) -> str:
    """``decoder.levels.0.resample.conv.bias`` -> ``model.vqmodel.decoder.up.0.upsample.conv.bias``."""
    for ours, theirs in NAMES.items():
        name = re.sub(ours, theirs, name)
    return PREFIX + name
