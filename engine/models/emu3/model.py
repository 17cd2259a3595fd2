"""Emu3's transformer (arXiv 2409.18869): one vocabulary of text and codes, keys shared by four heads each.

Codes 0 to V - 1 are the ids from ``first_code`` on, and V, the end of a row, is ``eol``. Only codes are drawn, so the
head has their rows alone: 32,768 of 184,622.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..attention import PRODUCTS, AttentionBackend
from ..causal.decoder import Decoder, DecoderConfig


@dataclass(frozen=True)
class Emu3Config(DecoderConfig):
    """Sizes; the defaults are those of ``Emu3-Gen``."""

    NAME = "Emu3"
    layers: int = 32
    hidden: int = 4096
    ffn: int = 14336
    heads: int = 32
    kv_heads: int = 8
    text_vocab: int = 184622
    vision_vocab: int = 32768
    first_code: int = 151854
    eol: int = 151846
    norm_eps: float = 1e-5
    rope_theta: float = 1e6
    max_position: int = 9216

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        if self.first_code + self.vision_vocab > self.text_vocab or self.eol >= self.text_vocab:
            raise ValueError(f"codes {self.first_code} and on, eol {self.eol}: beyond the {self.text_vocab} ids")


class Emu3(Decoder):
    """The transformer."""

    config: Emu3Config

    def __init__(self, config: Emu3Config) -> None:
        super().__init__(config)
        self.wte = nn.Embedding(config.text_vocab, config.hidden)
        self.add_blocks(config)
        self.vision_head = nn.Linear(config.hidden, config.vision_vocab, bias=False)

    def embed(self, ids: Tensor, is_vision: Tensor) -> Tensor:
        """``ids`` int64 and ``is_vision`` bool, both [R, T] -> [R, T, D], from one table."""
        config = self.config
        vision = torch.where(ids < config.vision_vocab, ids + config.first_code, config.eol)
        return self.wte(torch.where(is_vision, vision, ids))

    @property
    def read_backend(self) -> AttentionBackend:
        """Attention backend of the passes that only read their cache; our kernel takes no shared keys."""
        return super().read_backend if self.config.kv_heads == self.config.heads else PRODUCTS
