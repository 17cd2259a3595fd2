"""Emu3's transformer from its directory in transformers' format; of noise, Emu3-Gen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...models.emu3.family import Emu3Arm
from ...models.emu3.model import Emu3, Emu3Config
from ...models.emu3.text import Emu3Text, read_text
from ...models.layers.fused import fuse
from ...utils.weights import read_json, skeleton
from ..llama_files import block_sources, read_sizes
from ..random_weights import fill, hashed_encoder
from ..renamed import Source, load_renamed
from . import refuse_config

SIDE = 90  # codes a row, of pictures of 720 px
# What a published text_config leaves out has the value of transformers' Emu3TextConfig.
LLAMA = {
    "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 184622, "rms_norm_eps": 1e-5, "max_position_embeddings": 9216,
    "rope_theta": 1e6,
}  # fmt: skip
TEXT = "model.text_model."
UNUSED = ("model.vqmodel.",)
OLD = {"text_model.lm_head.": "lm_head.", "text_model.model.": TEXT, "vqmodel.": "model.vqmodel."}  # the first uploads


def load(folders: Mapping[str, Path], config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> Emu3Arm:
    """From ``config.json``, safetensors and ``tokenizer.json``; ``config`` may name the ``side`` of a frame in codes,
    which the files do not."""
    refuse_config(config, "emu3", "side")
    folder = folders["path"]
    path = folder / "config.json"
    values = read_json(path)
    codes = values.get("vq_config", {}).get("codebook_size", 32768)
    found = read_config(values, str(path))
    text = read_text(folder, found["text_vocab"], codes)
    try:
        sizes = Emu3Config(**found, vision_vocab=codes, first_code=text.first_code, eol=text.eol)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    with skeleton():
        model = Emu3(sizes)
    load_renamed(model, folder, sources(sizes), UNUSED, device, dtype, todays_key)
    fuse(model.to(device, dtype), device)
    return Emu3Arm(model, text, config.get("side", SIDE))


def make(config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> Emu3Arm:
    """A network with random weights, with ``config`` in place of the sizes of Emu3-Gen, and its ``side``."""
    sizes = Emu3Config.from_dict({name: value for name, value in config.items() if name != "side"})
    with skeleton():
        model = Emu3(sizes)
    fuse(fill(model, device, dtype), device)
    text = Emu3Text(hashed_encoder(sizes.eol - 3, 3), 0, 1, 2, sizes.eol, sizes.first_code)
    return Emu3Arm(model, text, config.get("side", SIDE))


def read_config(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Sizes in a published ``config.json``; ``ValueError`` (one line) begins with ``where``."""
    if values.get("model_type") != "emu3":
        raise ValueError(f"{where}: model_type {values.get('model_type')!r}; expected 'emu3', as transformers has it")
    return read_sizes(values.get("text_config", {}), LLAMA, where)


def sources(sizes: Emu3Config) -> dict[str, Source]:
    """The published tensor of each parameter; of the head, the rows of codes."""
    rows = (sizes.first_code, sizes.first_code + sizes.vision_vocab)
    found = {"wte.weight": Source(f"{TEXT}embed_tokens.weight"), "ln_f.weight": Source(f"{TEXT}norm.weight")}
    found["vision_head.weight"] = Source("lm_head.weight", rows)
    return found | block_sources(TEXT, sizes.layers, sizes.heads, sizes.kv_heads)


def todays_key(key: str) -> str:
    """The name that today's transformers has for a key of a file."""
    for old, new in OLD.items():
        if key.startswith(old):
            return new + key.removeprefix(old)
    return key
