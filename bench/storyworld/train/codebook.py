"""The codebook's own training: moving averages of the vectors it catches, and new codes for dead ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

DECAY = 0.99
ALIVE = 0.03  # a code whose moving count per step falls below this is dead


class CodebookEma(nn.Module):
    """Moves `codebook` to the mean of the vectors assigned to each code (VQ-VAE, arXiv 1711.00937, appendix A.1)."""

    count: Tensor
    total: Tensor

    def __init__(self, codebook: nn.Embedding) -> None:
        super().__init__()
        self.weight = codebook.weight.requires_grad_(False)
        size = len(codebook.weight)
        self.register_buffer("count", torch.ones(size))
        self.register_buffer("total", codebook.weight.detach().clone())

    @torch.no_grad()
    def start(self, vectors: Tensor, rounds: int = 10) -> None:
        """Lloyd's k-means from a random choice of `vectors` [n, z]."""
        size = len(self.weight)
        chosen = torch.randperm(len(vectors), device=vectors.device)[:size]
        self.weight.copy_(vectors[chosen.repeat(size // len(chosen) + 1)[:size]])
        for _ in range(rounds):
            codes = nearest(vectors, self.weight)
            count, total = sums(vectors, codes, size)
            self.weight.copy_(torch.where(count[:, None] > 0, total / count.clamp(min=1)[:, None], self.weight))
        self.count.fill_(1.0)
        self.total.copy_(self.weight)

    @torch.no_grad()
    def update(self, vectors: Tensor, codes: Tensor, restart: bool) -> None:
        """One step of the averages for `vectors` [n, z] with their `codes` [n]; `restart` revives dead codes."""
        count, total = sums(vectors, codes, len(self.weight))
        self.count.lerp_(count, 1.0 - DECAY)
        self.total.lerp_(total, 1.0 - DECAY)
        self.weight.copy_(self.total / self.count.clamp(min=1e-4)[:, None])
        dead = (self.count < ALIVE).nonzero()[:, 0]
        if restart and len(dead):
            chosen = vectors[torch.randint(len(vectors), (len(dead),), device=vectors.device)]
            self.weight[dead] = chosen
            self.count[dead] = 0.3
            self.total[dead] = chosen * 0.3


def nearest(vectors: Tensor, book: Tensor) -> Tensor:
    """Index [n] of the nearest row of `book` [K, z] to each of `vectors` [n, z]."""
    return torch.addmm(book.square().sum(1), vectors, book.T, alpha=-2.0).argmin(1)


def sums(vectors: Tensor, codes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Number of vectors of each of `size` codes [K], and their sums [K, z]."""
    count = torch.bincount(codes, minlength=size).float()
    return count, vectors.new_zeros(size, vectors.shape[1]).index_add_(0, codes, vectors)


def usage(codes: Tensor, size: int) -> tuple[float, float]:
    """Share of codes used at all, and the perplexity of their distribution."""
    share = torch.bincount(codes.flatten(), minlength=size).float()
    share = share / share.sum()
    entropy = -(share * share.clamp(min=1e-12).log()).sum()
    return float((share > 0).float().mean()), float(entropy.exp())
