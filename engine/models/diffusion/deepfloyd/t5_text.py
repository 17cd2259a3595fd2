"""T5's encoder (arXiv 1910.10683, version 1.1), which conditions DeepFloyd IF; loads published weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.norms import RMSNorm
from ..config import read_config

FIXED: dict[str, tuple[Any, ...]] = {
    "model_type": ("t5",),
    "feed_forward_proj": ("gated-gelu",),
    "dense_act_fn": ("gelu_new",),
    "is_gated_act": (True,),
    "pad_token_id": (0,),
    "eos_token_id": (1,),
}
# Fields for the decoder and for training, and notes of the writer about itself.
IGNORED = frozenset(
    {"architectures", "decoder_start_token_id", "dropout_rate", "classifier_dropout", "initializer_factor"}
    | {"is_encoder_decoder", "is_decoder", "num_decoder_layers", "n_positions", "output_past", "use_cache"}
    | {"tie_word_embeddings", "tie_encoder_decoder", "torch_dtype", "dtype", "transformers_version", "return_dict"}
    | {"output_attentions", "output_hidden_states", "scale_decoder_outputs", "task_specific_params", "bos_token_id"}
)
PAD = 0


@dataclass(frozen=True)
class T5TextConfig:
    """The fields that may vary, with the published names; the defaults are those of T5 v1.1 XXL."""

    vocab_size: int = 32128
    d_model: int = 4096
    d_kv: int = 64
    d_ff: int = 10240
    num_layers: int = 24
    num_heads: int = 64
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6

    @property
    def hidden_size(self) -> int:
        """Width of the states."""
        return self.d_model

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], where: str = "text encoder config") -> T5TextConfig:
        """Reads a published config. Raises ValueError (one line) naming the field that is not supported."""
        return read_config(cls, config, where, FIXED, IGNORED)


def current_key(name: str) -> str | None:
    """Our name for a tensor of a published file: the tied embedding has one of two names, the last norm lies deeper."""
    known = {
        "encoder.embed_tokens.weight": "shared.weight",
        "encoder.final_layer_norm.weight": "final_layer_norm.weight",
    }
    return known.get(name, name)


class T5Text(nn.Module):
    """Token embeddings, blocks and a norm. Padding is masked within, its states are not zero."""

    def __init__(self, config: T5TextConfig) -> None:
        super().__init__()
        self.config = config
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder = Stack(config)
        self.final_layer_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)

    def forward(self, ids: Tensor) -> Tensor:
        """`ids` int64 [B, S], padded with 0 -> last hidden state [B, S, d_model]."""
        states: Tensor = self.final_layer_norm(self.encoder(self.shared(ids), ids != PAD))
        return states


class Stack(nn.Module):
    """The blocks, which share the position bias of the first; named as published."""

    def __init__(self, config: T5TextConfig) -> None:
        super().__init__()
        self.buckets, self.farthest = config.relative_attention_num_buckets, config.relative_attention_max_distance
        self.block = nn.ModuleList(Block(config, first=i == 0) for i in range(config.num_layers))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`x` [B, S, d_model], `mask` bool [B, S], true where there is text -> [B, S, d_model]."""
        blocks: Any = self.block
        table = blocks[0].layer[0].SelfAttention.relative_attention_bias.weight  # [buckets, H]
        positions = torch.arange(x.shape[1], device=x.device)
        buckets = bucket(positions[None] - positions[:, None], self.buckets, self.farthest)
        bias = table[buckets].permute(2, 0, 1)[None].masked_fill(~mask[:, None, None], float("-inf"))
        for block in self.block:
            x = block(x, bias)
        return x


def bucket(offsets: Tensor, count: int, farthest: int) -> Tensor:
    """Bucket of each key position minus query position: exact up to a quarter of ``count``, then logarithmic up to
    ``farthest``; the upper half is for keys after the query. With 32 and 128: -5 is in 5, 5 in 21, 40 in 28."""
    half, exact = count // 2, count // 4
    far = offsets.abs()
    growth = torch.log(far.clamp(min=1).float() / exact) / math.log(farthest / exact) * (half - exact)
    coarse = (exact + growth.long()).clamp(max=half - 1)
    return (offsets > 0).long() * half + torch.where(far < exact, far, coarse)


class Block(nn.Module):
    """Self-attention and a gated network, each with its norm before and a residual."""

    def __init__(self, config: T5TextConfig, first: bool) -> None:
        super().__init__()
        self.layer = nn.ModuleList([AttentionLayer(config, first), FeedForwardLayer(config)])

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        attend, feed = self.layer
        result: Tensor = feed(attend(x, bias))
        return result


class AttentionLayer(nn.Module):
    """Attention with a bias by relative position."""

    def __init__(self, config: T5TextConfig, first: bool) -> None:
        super().__init__()
        self.layer_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.SelfAttention = SelfAttention(config, first)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        return x + self.SelfAttention(self.layer_norm(x), bias)


class SelfAttention(nn.Module):
    """Without biases of the products, and without a scale of the scores, as T5 was trained."""

    def __init__(self, config: T5TextConfig, first: bool) -> None:
        super().__init__()
        self.heads, inner = config.num_heads, config.num_heads * config.d_kv
        self.q = nn.Linear(config.d_model, inner, bias=False)
        self.k = nn.Linear(config.d_model, inner, bias=False)
        self.v = nn.Linear(config.d_model, inner, bias=False)
        self.o = nn.Linear(inner, config.d_model, bias=False)
        if first:
            self.relative_attention_bias = nn.Embedding(config.relative_attention_num_buckets, config.num_heads)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, H, S, d_kv]
            for part in (self.q, self.k, self.v)
        )
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        return self.o(out.transpose(1, 2).flatten(2))


class FeedForwardLayer(nn.Module):
    """The gated network."""

    def __init__(self, config: T5TextConfig) -> None:
        super().__init__()
        self.layer_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.DenseReluDense = GatedGelu(config)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.DenseReluDense(self.layer_norm(x))


class GatedGelu(nn.Module):
    """wo(gelu(wi_0 x) wi_1 x) (arXiv 2002.05202)."""

    def __init__(self, config: T5TextConfig) -> None:
        super().__init__()
        self.wi_0 = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wi_1 = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.wo(F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x))
