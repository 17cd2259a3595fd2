"""LWM's transformer: one causal stream of text and image tokens (Large World Model, arXiv 2402.08268).

A LLaMA-style decoder with two embedding tables and two heads. A position is either a *text* position (``wte``,
``lm_head``; ``<vision>`` is text) or a *vision* position (``vte``, ``vision_head``; codes and the end-of-frame id).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..causal.decoder import Decoder, DecoderConfig, widened


@dataclass(frozen=True)
class LWMConfig(DecoderConfig):
    """Sizes of the transformer; the defaults that are given are those of the published vision models."""

    layers: int
    hidden: int
    ffn: int
    heads: int
    text_vocab: int
    vision_vocab: int
    norm_eps: float = 1e-6
    rope_theta: float = 5e7
    max_position: int = 32768


class LWM(Decoder):
    """The transformer."""

    config: LWMConfig

    def __init__(self, config: LWMConfig) -> None:
        super().__init__(config)
        self.wte = nn.Embedding(config.text_vocab, config.hidden)
        self.vte = nn.Embedding(config.vision_vocab, config.hidden)
        self.add_blocks(config)
        self.lm_head = nn.Linear(config.hidden, config.text_vocab, bias=False)
        self.vision_head = nn.Linear(config.hidden, config.vision_vocab, bias=False)

    def embed(self, ids: Tensor, is_vision: Tensor) -> Tensor:
        """``ids`` int64 and ``is_vision`` bool, both [R, T] -> [R, T, D], from the one or the other table."""
        text, vision = ids.masked_fill(is_vision, 0), ids.masked_fill(~is_vision, 0)
        return torch.where(is_vision[..., None], self.vte(vision), self.wte(text))

    def text_logits(self, hidden: Tensor) -> Tensor:
        """[..., D] -> [..., text_vocab], float32 (float64 in a float64 model)."""
        return widened(self.lm_head(hidden))
