"""Show-o's transformer: Phi-1.5 with norms of queries and keys, over text and image codes (arXiv 2408.12528).

One vocabulary holds everything; with the published sizes (``ShowOConfig()``) the ids are

    0 .. 50255         text                     50295   [PAD]          50305 .. 58496   image codes 0 .. 8191
    50256              begin and end of text    50296   <|soi|>        58497            an image slot yet to be drawn
    50257 .. 50294     runs of blanks           50297   <|eoi|>
                                                50300   <|t2i|>        (50298 .. 50304: tasks that are not drawn here)

A layer is parallel: x + attention(norm(x)) + mlp(norm(x)), one norm for both. Names and shapes of the weights are those
of ``pytorch_model.safetensors`` in ``showlab/show-o`` and ``showlab/show-o-512x512``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....kernels.qk_norm_rope_kv import qk_norm_rope_kv, rotate_reference
from ..attention import SDPA, AttentionMetadata, Cache
from ..fields import check_fields, read_fields
from ..kv_buffers import Buffers
from ..kv_cache import KVCache
from ..layers.rotary import Rotary

NEW_TOKENS = 10  # [PAD], eight markers and tasks, and one id that no token has: codes begin after them
MARKERS = {"pad": 0, "soi": 1, "eoi": 2, "t2i": 5}  # ids after the text's
CLIP_WIDTH = 1024


@dataclass(frozen=True)
class ShowOConfig:
    """Sizes and ids; the defaults are those of ``showlab/show-o`` (256 px).

    ``num_vq_tokens`` is the number of codes of a frame (1,024 at 512 px), ``text_field`` how many ids a prompt may have
    with its markers, ``text_end`` the id before and after a text, ``w_clip_vit`` whether the file also holds a
    projection of CLIP's features, which drawing does not use.
    """

    layers: int = 24
    hidden: int = 2048
    ffn: int = 8192
    heads: int = 32
    rotary_fraction: float = 0.5
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    max_position: int = 2048
    llm_vocab_size: int = 50295
    codebook_size: int = 8192
    num_vq_tokens: int = 256
    text_field: int = 129
    text_end: int = 50256
    w_clip_vit: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        if self.hidden % self.heads or self.rotary_dim % 2 or not 0 < self.rotary_dim <= self.head_dim:
            sizes = f"hidden {self.hidden}, heads {self.heads}, rotary_fraction {self.rotary_fraction}"
            raise ValueError(f"{sizes} do not fit: heads must divide hidden and the rotated part be even")
        if math.isqrt(self.num_vq_tokens) ** 2 != self.num_vq_tokens:
            raise ValueError(f"num_vq_tokens {self.num_vq_tokens} is not a square; the published ones are 256 and 1024")
        if self.text_field < 4:
            raise ValueError(f"text_field {self.text_field} is too small; choose 4 or more")

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    @property
    def rotary_dim(self) -> int:
        """Number of a head's channels that are rotated: 32 of 64."""
        return int(self.head_dim * self.rotary_fraction)

    @property
    def code_offset(self) -> int:
        """The id of code 0."""
        return self.llm_vocab_size + NEW_TOKENS

    @property
    def mask(self) -> int:
        """The id of an image slot yet to be drawn, the last one."""
        return self.code_offset + self.codebook_size

    @property
    def vocab_size(self) -> int:
        return self.mask + 1

    @property
    def block(self) -> int:
        """Ids of a frame with ``<|soi|>`` and ``<|eoi|>``."""
        return self.num_vq_tokens + 2

    @property
    def max_prompt(self) -> int:
        """Text ids that survive of a prompt: 126 of the 129, besides the task and both ends."""
        return self.text_field - 3

    def marker(self, name: str) -> int:
        """The id of "pad", "soi", "eoi" or "t2i"."""
        return self.llm_vocab_size + MARKERS[name]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ShowOConfig:
        """Reads the fields by name. Raises ``ValueError`` for an unknown one and for a value that does not fit."""
        return read_fields(cls, values, "transformer")


class HalfRotary(Rotary):
    """Tables [max_position, rotary_dim] for pairs (i, i + rotary_dim / 2), as GPT-NeoX has them: cos of all pairs and
    again, -sin of all pairs, then sin."""

    def _tables(self, device: torch.device) -> tuple[Tensor, Tensor]:
        cos, sin = super()._tables(device)
        # The interleaved layout holds pair i at 2 i and 2 i + 1: evens first, then odds.
        return tuple(torch.cat((table[:, ::2], table[:, 1::2]), 1) for table in (cos, sin))  # type: ignore[return-value]


class Attention(nn.Module):
    """Multi-head attention with biases; queries and keys are normed per head before they are rotated."""

    def __init__(self, config: ShowOConfig) -> None:
        super().__init__()
        self.heads, self.eps, self.use_triton = config.heads, config.norm_eps, False
        self.q_proj, self.k_proj, self.v_proj, self.dense = (nn.Linear(config.hidden, config.hidden) for _ in range(4))
        self.q_layernorm = nn.LayerNorm(config.head_dim, config.norm_eps)
        self.k_layernorm = nn.LayerNorm(config.head_dim, config.norm_eps)

    def enable_triton(self) -> None:
        """Norm and rotate by our kernel."""
        self.use_triton = True

    def forward(self, x: Tensor, place: AttentionMetadata, layer: int) -> Tensor:
        parts = (self.q_proj(x), self.k_proj(x), self.v_proj(x))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)  # [R, H, T, head_dim]
        q, k, v = self._by_kernel(q, k, v, place) if self.use_triton else self._rotated(q, k, v, place)
        out = place.attend(layer, q, k, v)
        attended: Tensor = self.dense(out.transpose(1, 2).flatten(2))
        return attended

    def _rotated(self, q: Tensor, k: Tensor, v: Tensor, place: AttentionMetadata) -> tuple[Tensor, Tensor, Tensor]:
        q, k = self.q_layernorm(q), self.k_layernorm(k)
        turn = (place.cos, place.sin, False)
        return rotate_reference(q, *turn), rotate_reference(k, *turn), v

    def _by_kernel(self, q: Tensor, k: Tensor, v: Tensor, place: AttentionMetadata) -> tuple[Tensor, Tensor, Tensor]:
        keys, values = (torch.empty(k.shape, dtype=k.dtype, device=k.device) for _ in range(2))
        weights = (norm for layer in (self.q_layernorm, self.k_layernorm) for norm in (layer.weight, layer.bias))
        tables = (place.rope.cos, place.rope.sin, place.positions.expand(len(q), -1), keys, values)
        q = qk_norm_rope_kv(q, k, v, *tables, False, "layer", *weights, self.eps, apart=True)
        return q, keys, values


class MLP(nn.Module):
    """fc2(gelu(fc1 x)) with the tanh approximation of GELU."""

    def __init__(self, config: ShowOConfig) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(config.hidden, config.ffn), nn.Linear(config.ffn, config.hidden)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x), approximate="tanh"))
        return out


class Layer(nn.Module):
    """Attention and MLP side by side."""

    def __init__(self, config: ShowOConfig) -> None:
        super().__init__()
        self.self_attn, self.mlp = Attention(config), MLP(config)
        self.input_layernorm = nn.LayerNorm(config.hidden, config.norm_eps)

    def forward(self, x: Tensor, place: AttentionMetadata, layer: int) -> Tensor:
        normed = self.input_layernorm(x)
        out: Tensor = x + self.self_attn(normed, place, layer) + self.mlp(normed)
        return out


class ShowO(nn.Module):
    """The transformer. Knows no sampling, no text and no backend."""

    def __init__(self, config: ShowOConfig) -> None:
        super().__init__()
        self.config, self.kv_buffers, self.use_triton = config, Buffers(), False
        self.showo, trunk = nn.Module(), nn.Module()
        trunk.embed_tokens = nn.Embedding(config.vocab_size, config.hidden)
        trunk.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        trunk.final_layernorm = nn.LayerNorm(config.hidden, config.norm_eps)
        self.showo.model, self.showo.lm_head = trunk, nn.Linear(config.hidden, config.vocab_size)
        self.rope = HalfRotary(config.rotary_dim, config.max_position, config.rope_theta)
        self.mm_projector: nn.Module | None = None
        if config.w_clip_vit:
            widths = (nn.Linear(CLIP_WIDTH, config.hidden), nn.GELU(), nn.Linear(config.hidden, config.hidden))
            self.mm_projector = nn.Sequential(*widths)

    def forward(self, ids: Tensor, cache: Cache) -> Tensor:
        """``ids`` int64 [R, T] -> hidden [R, T, D] after the final norm; the cache says where they are and what they
        see, and keeps their keys and values."""
        trunk: Any = self.showo.model
        # Padding of a text may lie beyond the tables; nothing sees it.
        positions = cache.positions(ids.shape[1]).clamp(max=self.config.max_position - 1)
        place = AttentionMetadata.of(positions, self.rope, cache, SDPA)
        x = trunk.embed_tokens(ids)
        for number, layer in enumerate(trunk.layers):
            x = layer(x, place, number)
        hidden: Tensor = trunk.final_layernorm(x)
        return hidden

    def code_logits(self, hidden: Tensor) -> Tensor:
        """[..., D] -> [..., codebook_size] in the weights' dtype: the head's rows of image codes, and no others."""
        head: Any = self.showo.lm_head
        rows = slice(self.config.code_offset, self.config.mask)
        return F.linear(hidden, head.weight[rows], head.bias[rows])

    def enable_triton(self) -> None:
        """Stages that draw take MaskGIT's step by our kernel."""
        self.use_triton = True

    def drop_projector(self) -> None:
        """Forget the projection of CLIP's features."""
        self.mm_projector = None

    @property
    def dtype(self) -> torch.dtype:
        weight: Tensor = self.get_parameter("showo.lm_head.weight")
        return weight.dtype

    @property
    def device(self) -> torch.device:
        return self.get_parameter("showo.lm_head.weight").device

    def new_cache(self, rows: int, capacity: int) -> KVCache:
        """An empty cache for ``rows`` streams of at most ``capacity`` ids, in the weights' dtype and device."""
        config = self.config
        sizes = (config.layers, rows, config.heads, capacity, config.head_dim)
        return KVCache(*sizes, dtype=self.dtype, device=self.device, buffers=self.kv_buffers)
