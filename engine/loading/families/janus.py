"""Janus-Pro's transformer from its directory in transformers' format; of noise, Janus-Pro-1B."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ...models.janus.family import JanusArm
from ...models.janus.model import Janus, JanusConfig
from ...models.janus.text import JanusText, read_text
from ...models.layers.fused import fuse
from ...models.tokenizers.llamagen import LlamaGenConfig
from ...utils.weights import read_json, skeleton
from ..llama_files import block_sources, read_sizes
from ..random_weights import fill, hashed_encoder
from ..renamed import Source, load_renamed
from . import refuse_config

# What a published text_config leaves out has the value of transformers' LlamaConfig.
LLAMA = {
    "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32,
    "vocab_size": 32000, "rms_norm_eps": 1e-6, "max_position_embeddings": 2048, "rope_theta": 1e4,
}  # fmt: skip
TEXT = "model.language_model."
UNUSED = ("model.vision_model.", "model.aligner.", "model.vqmodel.", "lm_head.")  # to read pictures and to write
SPECIAL = (0, 1, 2, 3, 4)  # of noise: bos, pad, image, user, assistant


def load(folders: Mapping[str, Path], config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> JanusArm:
    """From ``config.json``, ``model.safetensors`` (or several with an index) and ``tokenizer.json``."""
    folder = folders["path"]
    path = folder / "config.json"
    values = read_json(path)
    sizes, codes = read_config(values, str(path)), LlamaGenConfig.published(values, str(path)).codes_per_frame
    refuse_config(config, "janus", *asdict(sizes), "codes_per_frame")
    for name, value in config.items():  # a bundle's, for its system of noise
        if (found := getattr(sizes, name, codes)) != value:
            raise ValueError(f"{path}: {name} is {found}; this bundle's is {value}")
    with skeleton():
        model = Janus(sizes)
    text = read_text(folder, sizes.text_vocab)
    load_renamed(model, folder, sources(sizes), UNUSED, device, dtype)
    fuse(model.to(device, dtype), device)
    return JanusArm(model, text, codes)


def make(config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> JanusArm:
    """A network with random weights, with ``config`` in place of the sizes of Janus-Pro-1B; its ``codes_per_frame`` is
    576 where it says nothing."""
    sizes = JanusConfig.from_dict({name: value for name, value in config.items() if name != "codes_per_frame"})
    with skeleton():
        model = Janus(sizes)
    fuse(fill(model, device, dtype), device)
    bos, pad, image, user, assistant = SPECIAL
    text = JanusText(hashed_encoder(sizes.text_vocab, len(SPECIAL)), bos, pad, image, (user,), (assistant,))
    return JanusArm(model, text, config.get("codes_per_frame", LlamaGenConfig().codes_per_frame))


def read_config(values: Mapping[str, Any], where: str) -> JanusConfig:
    """Sizes in a published ``config.json``; ``ValueError`` (one line) begins with ``where``."""
    if values.get("model_type") != "janus":
        raise ValueError(f"{where}: model_type {values.get('model_type')!r}; expected 'janus', as transformers has it")
    text, vq = values.get("text_config", {}), values.get("vq_config", {})
    found = read_sizes(text, LLAMA, where)
    if (kv_heads := found.pop("kv_heads")) != found["heads"]:
        raise ValueError(f"{where}: num_key_value_heads {kv_heads} of {found['heads']} heads; Janus-Pro shares none")
    if vq.get("hidden_act", "gelu") != "gelu":
        raise ValueError(f"{where}: hidden_act {vq['hidden_act']!r} of vq_config is not supported; only 'gelu' is")
    names = {"vision_vocab": "num_embeddings", "code_dim": "embed_dim", "projection": "projection_dim"}
    names |= {"aligner_layers": "num_hidden_layers"}
    found |= {name: vq[key] for name, key in names.items() if key in vq}
    try:
        return JanusConfig.from_dict(found)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def sources(sizes: JanusConfig) -> dict[str, Source]:
    """The published tensor of each parameter."""
    keys = {
        "wte.weight": f"{TEXT}embed_tokens.weight",
        "ln_f.weight": f"{TEXT}norm.weight",
        "code_vectors.weight": "model.generation_embeddings.weight",
    }
    aligner = ["fc1", *(f"hidden_layers.{index}" for index in range(sizes.aligner_layers - 1))]
    layers = {f"aligner.layers.{index}": f"model.generation_aligner.{name}" for index, name in enumerate(aligner)}
    layers |= {"head_hidden": "model.generation_head.proj_out", "vision_head": "model.generation_head.vision_head"}
    keys |= {f"{ours}.{leaf}": f"{key}.{leaf}" for ours, key in layers.items() for leaf in ("weight", "bias")}
    found = {ours: Source(key) for ours, key in keys.items()}
    return found | block_sources(TEXT, sizes.layers, sizes.heads, sizes.kv_heads)
