"""Emu3's transformer (arXiv 2409.18869): one vocabulary of text and codes, keys shared by four heads each.

Codes 0 to V - 1 are the ids from ``first_code`` on, and V, the end of a row, is ``eol``. Only codes are drawn, so the
head has their rows alone: 32,768 of 184,622.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from ..attention import PRODUCTS, AttentionBackend
from ..causal.decoder import Decoder
from ..fields import check_fields
from ..layers.llama import Block
from ..layers.norms import RMSNorm
from ..layers.rotary import Rotary


@dataclass(frozen=True)
class Emu3Config:
    """Sizes; the defaults are those of ``Emu3-Gen``."""

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
        check_fields(self)
        if self.hidden % (2 * self.heads) or self.heads % self.kv_heads:
            raise ValueError(
                f"hidden {self.hidden}, heads {self.heads} and kv_heads {self.kv_heads} do not divide one another"
            )
        if self.first_code + self.vision_vocab > self.text_vocab or self.eol >= self.text_vocab:
            raise ValueError(f"codes {self.first_code} and on, eol {self.eol}: beyond the {self.text_vocab} ids")

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Emu3Config:
        """Reads the fields by name; ``ValueError`` for an unknown one."""
        names = [field.name for field in fields(cls)]
        for name in values:
            if name not in names:
                raise ValueError(f"unknown setting {name!r} of Emu3; choose from {', '.join(names)}")
        return cls(**values)


class Emu3(Decoder):
    """The transformer."""

    config: Emu3Config

    def __init__(self, config: Emu3Config) -> None:
        super().__init__(config)
        self.wte = nn.Embedding(config.text_vocab, config.hidden)
        self.rope = Rotary(config.head_dim, config.max_position, config.rope_theta)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.ln_f = RMSNorm(config.hidden, config.norm_eps)
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
