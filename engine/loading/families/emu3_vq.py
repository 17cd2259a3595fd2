"""Emu3's vision tokenizer from Emu3's directory; what finds codes is float32 at least."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...models.tokenizers.emu3_vq import Emu3VQ, Emu3VQConfig
from ...utils.weights import read_json, skeleton
from ..random_weights import fill
from ..renamed import Source, load_renamed
from . import refuse_config
from .emu3 import todays_key

PREFIX = "model.vqmodel."
UNUSED = ("model.text_model.", "lm_head.")
ELSEWHERE = {"codebook.": "quantize.embedding.", "decoder.post_quant_conv.": "post_quant_conv."}


def load(folders: Mapping[str, Path], config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> Emu3VQ:
    """From ``config.json`` and the tensors of the whole model, of which it reads its own; ``config`` may name the
    ``resolution``, which the files do not."""
    refuse_config(config, "emu3-vq", "resolution")
    path = folders["path"] / "config.json"
    sizes = Emu3VQConfig.published(read_json(path), str(path), config.get("resolution"))
    with skeleton():
        model = Emu3VQ(sizes)
    keys = {name: Source(published_key(name)) for name in model.state_dict()}
    wide = torch.promote_types(dtype, torch.float32)
    load_renamed(model, folders["path"], keys, UNUSED, device, wide, todays_key)
    return model.to(device).eval().requires_grad_(False).lower_decoder(dtype)


def make(config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> Emu3VQ:
    """A network with random weights, with ``config`` in place of Emu3's sizes."""
    with skeleton():
        model = Emu3VQ(Emu3VQConfig.from_dict(dict(config)))
    fill(model, device, torch.promote_types(dtype, torch.float32))
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm3d)):
        assert norm.running_var is not None
        norm.running_var.fill_(1)
    return model.lower_decoder(dtype)


def published_key(name: str) -> str:
    """``decoder.conv_in.bias`` -> ``model.vqmodel.decoder.conv_in.bias``."""
    for ours, theirs in ELSEWHERE.items():
        if name.startswith(ours):
            return PREFIX + theirs + name.removeprefix(ours)
    return PREFIX + name
