"""Tokenizers whose codes are rows of a codebook."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ....kernels.codebook_nearest import codebook_nearest, codebook_nearest_reference
from .coder import Coder


class CodebookCoder(Coder, ABC):
    """``codebook`` holds a vector a code."""

    codebook: nn.Embedding

    def __init__(self) -> None:
        super().__init__()
        self.nearest: Callable[[Tensor, Tensor], Tensor] = codebook_nearest_reference

    def compared(self, vectors: Tensor) -> Tensor:
        """Vectors [..., z_channels], of codes or of pictures, as they are compared and decoded."""
        return vectors

    def quantise(self, latents: Tensor) -> Tensor:
        """Nearest code of each vector: latents [B, z_channels, h, w] to codes int64 [B, h*w].

        Squared L2 distance in fp32, the first of equal minima (near ties flip in lower precision); one picture at a
        time, which in plain PyTorch holds only [h*w, codebook_size] distances.
        """
        book = self.compared(self.codebook.weight.float())
        flat = self.compared(latents.float().flatten(2).transpose(1, 2))  # [B, h*w, z]
        rows = [self.nearest(z, book) for z in flat]
        return torch.stack(rows) if rows else flat.new_zeros(flat.shape[:2], dtype=torch.int64)

    def enable_triton(self) -> None:
        """Find the nearest codes by our kernel."""
        self.nearest = codebook_nearest

    def lookup(self, codes: Tensor) -> Tensor:
        """Codes [B, h*w] to code vectors [B, z_channels, h, w]."""
        side = self.config.grid
        return self.compared(self.codebook(codes)).transpose(1, 2).unflatten(2, (side, side))
