"""ACDiT's network (arXiv 2412.07720, section 3): what a pass over noisy tokens, or over finished ones, computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .config import ACDiTConfig
from .context import CleanContext
from .layers import FinalLayer, LabelEmbedder, Layer, Tables, TimestepEmbedder
from .rotary import GridRotary

Modulations = tuple[Tensor, ...]  # one a layer, and the head's


class ACDiT(nn.Module):
    """Tokens are [R, T, token_dim], rows being requests, or requests in both branches of guidance."""

    def __init__(self, config: ACDiTConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.config = config
        self.t_embedder = TimestepEmbedder(width)
        self.y_embedder = LabelEmbedder(config.num_classes, width)
        self.x_embedder = nn.Linear(config.token_dim, width, bias=False)
        self.blocks = nn.ModuleList(Layer(number, width) for number in range(config.num_layers))
        self.final_layer = FinalLayer(width, config.token_dim)
        self.rotary = GridRotary(config)

    @property
    def dtype(self) -> torch.dtype:
        return self.x_embedder.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.x_embedder.weight.device

    def tables(self, indexes: Sequence[int]) -> Tables:
        """Rotary tables of the tokens of block ``indexes[r]``, a row each; of one row where all are the same."""
        size, distinct = self.config.block_tokens, indexes[:1] if len(set(indexes)) == 1 else indexes
        cos, sin = (
            torch.stack([table[i * size : (i + 1) * size] for i in distinct]).unsqueeze(1)
            for table in (self.rotary.cos, self.rotary.sin)
        )
        return cos, sin

    def modulations(self, timesteps: Tensor, labels: Tensor) -> Modulations:
        """Shifts, scales and gates at each of the ``timesteps`` [S] for ``labels`` int64 [R]: [S, R, 1, 6 width] a
        layer, [S, R, 1, 2 width] of the head.

        They depend on nothing else. A third of the weights is read for them, once a schedule and not once a step.
        """
        conditions = (self.t_embedder(timesteps)[:, None] + self.y_embedder(labels))[:, :, None]
        return tuple(part.adaLN_modulation(conditions) for part in (*self.blocks, self.final_layer))

    def forward(self, tokens: Tensor, modulations: Modulations, tables: Tables, context: CleanContext) -> Tensor:
        """The noise in noisy tokens of one block, at one step of ``modulations`` ([R, 1, ...] each)."""
        x = self.x_embedder(tokens)
        for layer, modulation in zip(self.blocks, modulations[:-1], strict=True):
            x = layer(x, modulation, tables, context.attend)
        return self.final_layer(x, modulations[-1])

    def clean_keys(self, tokens: Tensor, tables: Tables, context: CleanContext) -> tuple[Tensor, Tensor]:
        """Keys and values of a finished block, [layers, R, H, T, 64] each; the last layer's output is not needed."""
        found: list[tuple[Tensor, Tensor]] = []

        def attend(number: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            found.append((k, v))
            return context.attend(number, q, k, v)

        x, last = self.x_embedder(tokens), cast(Layer, self.blocks[-1])
        for layer in self.blocks[:-1]:
            x = layer(x, None, tables, attend)
        found.append(last.keys(x, tables))
        keys, values = zip(*found, strict=True)
        return torch.stack(keys), torch.stack(values)
