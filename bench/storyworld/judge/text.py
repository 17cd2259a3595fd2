"""The judge's text tower: a weighted bag of hashed words, so that any free sentence has an embedding."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

WORD = re.compile(r"[a-z']+")
STEM = 4  # letters: "jump", "jumps" and "jumping" share a feature


def text_features(sentence: str, buckets: int) -> list[int]:
    """Bucket numbers (1..buckets-1; 0 is "nothing") of the words, stems and word pairs of ``sentence``."""
    words = WORD.findall(sentence.lower())
    names = [f"w {word}" for word in words]
    names += [f"s {word[:STEM]}" for word in words if len(word) > STEM]
    names += [f"p {first} {second}" for first, second in pairwise(words)]
    return [1 + zlib.crc32(name.encode()) % (buckets - 1) for name in names] or [0]


def pack(sentences: Sequence[str], buckets: int) -> tuple[Tensor, Tensor]:
    """Flat bucket numbers ``[T]`` and the sentence each belongs to ``[T]``."""
    rows = [text_features(sentence, buckets) for sentence in sentences]
    numbers = torch.tensor([number for row in rows for number in row], dtype=torch.int64)
    owners = torch.tensor([i for i, row in enumerate(rows) for _ in row], dtype=torch.int64)
    return numbers, owners


class TextTower(nn.Module):
    """Hashed words -> attention-weighted mean -> MLP -> ``[N, dim]`` of unit length.

    The learned weights let it pass over filler words; a bucket never trained stays near zero and says nothing.
    """

    def __init__(self, buckets: int, width: int, dim: int) -> None:
        super().__init__()
        self.buckets = buckets
        self.words = nn.Embedding(buckets, width)
        self.weights = nn.Embedding(buckets, 1)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, dim))
        nn.init.normal_(self.words.weight, std=0.02)
        nn.init.zeros_(self.weights.weight)

    def forward(self, numbers: Tensor, owners: Tensor, count: int) -> Tensor:
        """``numbers``, ``owners`` as from `pack`; ``count`` sentences."""
        strength = self.weights(numbers).clamp(-8, 8).exp()  # [T, 1]
        vectors = self.words(numbers)  # [T, W]
        total = vectors.new_zeros(count, vectors.shape[1]).index_add(0, owners, vectors * strength)
        mass = strength.new_zeros(count, 1).index_add(0, owners, strength)
        return functional.normalize(self.mlp(total / mass), dim=-1)
