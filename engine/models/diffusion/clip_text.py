"""CLIP's text encoder (arXiv 2103.00020), which conditions Stable Diffusion; loads published weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import read_config, refuse

FIXED: dict[str, tuple[Any, ...]] = {"model_type": ("clip_text_model",), "use_attention_mask": (None, False)}
# Training, token ids (the tokenizer has its own), the projection that Stable Diffusion does not use, and
# what the writer notes about itself.
IGNORED = frozenset(
    {"architectures", "attention_dropout", "dropout", "initializer_factor", "initializer_range"}
    | {"bos_token_id", "eos_token_id", "pad_token_id", "projection_dim", "torch_dtype", "dtype"}
    | {"transformers_version", "tie_word_embeddings", "use_cache", "return_dict"}
    | {"output_attentions", "output_hidden_states"}
)


def quick_gelu(x: Tensor) -> Tensor:
    """CLIP's cheaper GELU: x * sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"quick_gelu": quick_gelu, "gelu": F.gelu}


@dataclass(frozen=True)
class CLIPTextConfig:
    """The fields that may vary, with the published names and defaults."""

    vocab_size: int = 49408
    hidden_size: int = 512
    intermediate_size: int = 2048
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 77
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], where: str = "text encoder config") -> Self:
        """Reads a published config. Raises ValueError (one line) naming the field that is not supported."""
        value = read_config(cls, config, where, FIXED, IGNORED)
        if value.hidden_act not in ACTIVATIONS:
            refuse(where, "hidden_act", value.hidden_act, ", ".join(ACTIVATIONS))
        if value.hidden_size % value.num_attention_heads:
            refuse(where, "num_attention_heads", value.num_attention_heads, f"a divisor of {value.hidden_size}")
        return value


def current_key(name: str) -> str | None:
    """Our name for a tensor of a published file, None for one to leave out.

    Files carry a `text_model.` prefix or not, older ones the positions 0, 1, 2, ... as a tensor, and OpenCLIP's
    (SD 2.x) may hold the projection into the space that text shares with pictures, which is not used.
    """
    unused = name.endswith("embeddings.position_ids") or name == "text_projection.weight"
    return None if unused else name.removeprefix("text_model.")


class CLIPText(nn.Module):
    """Causal transformer with layer norms before each part and one at the end."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Layers(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, ids: Tensor) -> Tensor:
        """`ids` int64 [B, S], S <= max_position_embeddings -> last hidden state [B, S, hidden_size]."""
        return self.final_layer_norm(self.encoder(self.embeddings(ids)))

    def states(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """(the states before the last layer, without the last norm, and the last hidden state), [B, S, hidden_size]
        each."""
        *layers, last = self.encoder.layers
        x = self.embeddings(ids)
        for layer in layers:
            x = layer(x)
        return x, self.final_layer_norm(last(x))


class Embeddings(nn.Module):
    """Token plus position embedding."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(config.max_position_embeddings, config.hidden_size)

    def forward(self, ids: Tensor) -> Tensor:
        return self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]


class Layers(nn.Module):
    """The stack; a module of its own because the weights' names have it."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class Layer(nn.Module):
    """Causal self-attention and a two-layer network, each with its norm before and a residual."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = SelfAttention(config.hidden_size, config.num_attention_heads)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = MLP(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class SelfAttention(nn.Module):
    """Each position sees itself and those before it; padding is not masked, as CLIP was trained."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(channels, channels)
        self.k_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.out_proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            p(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, H, S, D]
            for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(out.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Widen, activate, narrow."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.hidden_act]
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))
