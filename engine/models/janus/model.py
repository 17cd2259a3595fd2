"""Janus-Pro's transformer, the half that draws (arXiv 2501.17811; as ``JanusForConditionalGeneration`` has it).

    text      ids -> ``wte``
    codes     ids -> ``code_vectors`` [V, code_dim] -> ``aligner``, an MLP
    logits    of the next code: ``head_hidden``, GELU, ``vision_head``

The half that reads pictures (SigLIP and its aligner) and the text head take no part in drawing and are not loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..causal.decoder import Decoder, DecoderConfig, widened


@dataclass(frozen=True)
class JanusConfig(DecoderConfig):
    """Sizes; the defaults are those of ``deepseek-community/Janus-Pro-1B``."""

    NAME = "Janus"
    layers: int = 24
    hidden: int = 2048
    ffn: int = 5632
    heads: int = 16
    text_vocab: int = 102400
    vision_vocab: int = 16384
    code_dim: int = 8
    projection: int = 2048
    aligner_layers: int = 2
    norm_eps: float = 1e-6
    rope_theta: float = 1e4
    max_position: int = 16384

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.projection != self.hidden:
            raise ValueError(f"projection {self.projection} is not the hidden size {self.hidden}")


class Aligner(nn.Module):
    """Code vectors [..., code_dim] -> [..., hidden]: linear layers with GELU between them."""

    def __init__(self, config: JanusConfig) -> None:
        super().__init__()
        inputs = [config.code_dim] + [config.projection] * (config.aligner_layers - 1)
        self.layers = nn.ModuleList(nn.Linear(width, config.projection) for width in inputs)

    def forward(self, x: Tensor) -> Tensor:
        for index, layer in enumerate(self.layers):
            x = layer(x if index == 0 else F.gelu(x))
        return x


class Janus(Decoder):
    """The transformer."""

    config: JanusConfig

    def __init__(self, config: JanusConfig) -> None:
        super().__init__(config)
        self.wte = nn.Embedding(config.text_vocab, config.hidden)
        self.code_vectors = nn.Embedding(config.vision_vocab, config.code_dim)
        self.aligner = Aligner(config)
        self.add_blocks(config)
        self.head_hidden = nn.Linear(config.hidden, config.projection)
        self.vision_head = nn.Linear(config.projection, config.vision_vocab)

    def embed(self, ids: Tensor, is_vision: Tensor) -> Tensor:
        """``ids`` int64 and ``is_vision`` bool, both [R, T] -> [R, T, D], of text or of codes."""
        text, vision = ids.masked_fill(is_vision, 0), ids.masked_fill(~is_vision, 0)
        return torch.where(is_vision[..., None], self.aligner(self.code_vectors(vision)), self.wte(text))

    def vision_logits(self, hidden: Tensor) -> Tensor:
        """[..., D] -> [..., vision_vocab], float32 (float64 in a float64 model)."""
        return widened(self.vision_head(F.gelu(self.head_hidden(hidden))))
