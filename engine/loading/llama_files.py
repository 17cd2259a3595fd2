"""A LLaMA decoder in transformers' names: its sizes in ``config.json``, and the tensors of its blocks.

transformers rotates the halves of a head against each other, our rotation neighbouring pairs: the rows of q and k are
put in that order (0 2 1 3 -> 0 1 2 3 for a head of 4), which leaves every product q k as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from .renamed import Source

SIZES = {  # ours -> theirs
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "ffn": "intermediate_size",
    "heads": "num_attention_heads",
    "text_vocab": "vocab_size",
    "norm_eps": "rms_norm_eps",
    "max_position": "max_position_embeddings",
}
FIXED = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}
PLAIN = {"feed_forward.w1": "mlp.gate_proj", "feed_forward.w2": "mlp.down_proj", "feed_forward.w3": "mlp.up_proj"}
PLAIN |= {"attention.wv": "self_attn.v_proj", "attention.wo": "self_attn.o_proj"}
PLAIN |= {"attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
TURNED = {"attention.wq": "self_attn.q_proj", "attention.wk": "self_attn.k_proj"}


def read_sizes(config: Mapping[str, Any], defaults: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Our names and their values: published files leave out what has its class's value, so ``defaults`` are those.
    Besides ``SIZES`` there are ``kv_heads`` and ``rope_theta``. ``ValueError`` (one line, begins with ``where``) for
    another kind of decoder."""
    for name, value in FIXED.items():
        if config.get(name, value) != value:
            raise ValueError(f"{where}: {name} {config[name]!r} is not supported; only {value!r} is")
    found: dict[str, Any] = {name: config.get(key, defaults.get(key)) for name, key in SIZES.items()}
    found["kv_heads"] = config.get("num_key_value_heads", defaults.get("num_key_value_heads")) or found["heads"]
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise ValueError(f"{where}: rotary positions of type {kind!r} are not supported; only 'default' are")
    found["rope_theta"] = float(rope.get("rope_theta", config.get("rope_theta", defaults["rope_theta"])))
    if found["heads"] and "head_dim" in config and config["head_dim"] not in (None, found["hidden"] // found["heads"]):
        raise ValueError(f"{where}: head_dim {config['head_dim']} is not hidden_size / num_attention_heads")
    return found


def block_sources(prefix: str, layers: int, heads: int, kv_heads: int) -> dict[str, Source]:
    """The tensors of all blocks below ``prefix``."""
    found: dict[str, Source] = {}
    for layer in range(layers):
        ours, theirs = f"blocks.{layer}.", f"{prefix}layers.{layer}."
        found |= {f"{ours}{name}.weight": Source(f"{theirs}{key}.weight") for name, key in PLAIN.items()}
        for (name, key), count in zip(TURNED.items(), (heads, kv_heads), strict=True):
            found[f"{ours}{name}.weight"] = Source(f"{theirs}{key}.weight", change=partial(in_pairs, heads=count))
    return found


def in_pairs(weight: Tensor, heads: int) -> Tensor:
    """Rows of each head 0 2 1 3 -> 0 1 2 3: what was (i, i + half) becomes (2i, 2i + 1)."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)
