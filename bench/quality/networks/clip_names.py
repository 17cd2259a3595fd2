"""OpenAI's names of CLIP's tensors under those of transformers' CLIPModel, and the sizes that shapes tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .renaming import Rule, renamed

BLOCK = (
    (r"attn\.in_proj_(weight|bias)", r"self_attn.{part}_proj.\3"),
    (r"attn\.out_proj\.(\w+)", r"self_attn.out_proj.\3"),
    (r"ln_([12])\.(\w+)", r"layer_norm\3.\4"),
    (r"mlp\.c_fc\.(\w+)", r"mlp.fc1.\3"),
    (r"mlp\.c_proj\.(\w+)", r"mlp.fc2.\3"),
)
RULES: tuple[Rule, ...] = (
    (r"input_resolution|context_length|vocab_size|(visual\.)?transformer\.resblocks\.\d+\.attn_mask", ""),
    (r"visual\.conv1\.weight", "vision_model.embeddings.patch_embedding.weight"),
    (r"visual\.class_embedding", "vision_model.embeddings.class_embedding"),
    (r"visual\.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    (r"visual\.ln_pre\.(\w+)", r"vision_model.pre_layrnorm.\1"),
    (r"visual\.ln_post\.(\w+)", r"vision_model.post_layernorm.\1"),
    (r"visual\.proj", "visual_projection.weight"),
    (r"text_projection", "text_projection.weight"),
    (r"token_embedding\.weight", "text_model.embeddings.token_embedding.weight"),
    (r"positional_embedding", "text_model.embeddings.position_embedding.weight"),
    (r"ln_final\.(\w+)", r"text_model.final_layer_norm.\1"),
    *((rf"(visual)\.transformer\.resblocks\.(\d+)\.{p}", rf"vision_model.encoder.layers.\2.{t}") for p, t in BLOCK),
    *((rf"(transformer)\.resblocks\.(\d+)\.{p}", rf"text_model.encoder.layers.\2.{t}") for p, t in BLOCK),
)
TRANSPOSED = ("visual_projection.weight", "text_projection.weight")
HEAD = 64  # channels of an attention head in every published CLIP
END = 49407


def from_openai(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by transformers' names."""
    return renamed(tensors, RULES, TRANSPOSED)


def openai_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of transformers' CLIPConfig, from the shapes in OpenAI's file. ``KeyError`` where it lacks one."""
    patches, width = tensors["visual.positional_embedding"].shape
    patch = tensors["visual.conv1.weight"].shape[-1]
    vocabulary, text_width = tensors["token_embedding.weight"].shape
    length = len(tensors["positional_embedding"])

    def tower(prefix: str, size: int) -> dict[str, Any]:
        start = f"{prefix}transformer.resblocks."
        layers = {name.removeprefix(start).partition(".")[0] for name in tensors if name.startswith(start)}
        sizes = {"hidden_size": size, "intermediate_size": 4 * size, "num_hidden_layers": len(layers)}
        return {**sizes, "num_attention_heads": max(1, size // HEAD), "hidden_act": "quick_gelu"}

    side = round((patches - 1) ** 0.5) * patch
    text = {"vocab_size": vocabulary, "max_position_embeddings": length, "eos_token_id": END}
    return {
        "vision_config": {**tower("visual.", width), "patch_size": patch, "image_size": side},
        "text_config": {**tower("", text_width), **text},
        "projection_dim": tensors["text_projection"].shape[1],
    }
