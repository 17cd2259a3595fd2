"""Layers of ACDiT. Their names are those of the published files."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..diffusion.unet_blocks import sinusoids
from ..layers.norms import RMSNorm
from .config import HEAD_DIM, MLP_RATIO, NORM_EPS
from .rotary import turn

WAVES = 128
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]  # layer, q, k, v [R, H, T, 64] -> [R, H, T, 64]
Tables = tuple[Tensor, Tensor]  # cos and signed sin of the tokens' places, [R or 1, 1, T, 64]


class TimestepEmbedder(nn.Module):
    """Cosines and sines of the timestep through a two-layer network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * WAVES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, timesteps: Tensor) -> Tensor:
        """[S] -> [S, width]."""
        waves = sinusoids(timesteps, WAVES, flip=True, shift=0)
        return self.mlp(waves.to(next(self.mlp.parameters()).dtype))


class LabelEmbedder(nn.Module):
    """A row a class, and one for none."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(num_classes + 1, width)

    def forward(self, labels: Tensor) -> Tensor:
        """int64 [R] -> [R, width]."""
        return self.embedding_table(labels)


class Attention(nn.Module):
    """Attention with norms of queries and keys, in the layer of that number."""

    def __init__(self, number: int, width: int) -> None:
        super().__init__()
        self.number = number
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm, self.k_norm = RMSNorm(HEAD_DIM, NORM_EPS), RMSNorm(HEAD_DIM, NORM_EPS)
        self.proj = nn.Linear(width, width)

    def project(self, x: Tensor, tables: Tables) -> tuple[Tensor, Tensor, Tensor]:
        """[R, T, width] -> queries, keys and values [R, H, T, 64], queries and keys with their places."""
        q, k, v = self.qkv(x).unflatten(-1, (3, -1, HEAD_DIM)).permute(2, 0, 3, 1, 4)
        return turn(self.q_norm(q), *tables), turn(self.k_norm(k), *tables), v

    def forward(self, x: Tensor, tables: Tables, attend: Attend) -> Tensor:
        """[R, T, width] -> [R, T, width]."""
        attended = attend(self.number, *self.project(x, tables))
        return self.proj(attended.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, MLP_RATIO * width), nn.Linear(MLP_RATIO * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., width]."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Layer(nn.Module):
    """Attention and MLP. Noisy tokens are shifted, scaled and gated by timestep and class (adaLN-Zero); finished ones
    are not."""

    def __init__(self, number: int, width: int) -> None:
        super().__init__()
        self.norm1, self.attn = RMSNorm(width, NORM_EPS), Attention(number, width)
        self.norm2, self.mlp = RMSNorm(width, NORM_EPS), MLP(width)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, modulation: Tensor | None, tables: Tables, attend: Attend) -> Tensor:
        """Noisy tokens [R, T, width] with ``modulation`` [R, 1, 6 width], or finished tokens with none -> [R, T,
        width]."""
        if modulation is None:
            x = x + self.attn(self.norm1(x), tables, attend)
            return x + self.mlp(self.norm2(x))
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = modulation.chunk(6, -1)
        x = torch.addcmul(x, gate, self.attn(modulate(self.norm1(x), shift, scale), tables, attend))
        return torch.addcmul(x, mlp_gate, self.mlp(modulate(self.norm2(x), mlp_shift, mlp_scale)))

    def keys(self, x: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """Keys and values [R, H, T, 64] of finished tokens alone."""
        _, keys, values = self.attn.project(self.norm1(x), tables)
        return keys, values


class FinalLayer(nn.Module):
    """The predicted noise of noisy tokens."""

    def __init__(self, width: int, token_dim: int) -> None:
        super().__init__()
        self.norm_final, self.linear = RMSNorm(width, NORM_EPS), nn.Linear(width, token_dim)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """[R, T, width] with ``modulation`` [R, 1, 2 width] -> [R, T, token_dim]."""
        shift, scale = modulation.chunk(2, -1)
        return self.linear(modulate(self.norm_final(x), shift, scale))


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (1 + scale) + shift in one pass over ``x`` [R, T, width], with [R, 1, width] each."""
    return torch.addcmul(shift, x, 1 + scale)
