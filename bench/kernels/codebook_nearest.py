"""LWM's tokenizer: 8,192 codes of 64 numbers, 256 vectors a picture of 256 px."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ...kernels.codebook_nearest import codebook_nearest, codebook_nearest_reference
from . import Case, moved

CODES, CHANNELS = 8192, 64


def cases(device: str) -> Iterator[Case]:
    """float32; the floor is that of the products, the matrix of distances is not needed."""
    codebook = torch.randn(CODES, CHANNELS).to(device)
    for pictures in (1, 16):
        vectors = torch.randn(256 * pictures, CHANNELS).to(device)
        num_bytes = moved(vectors, codebook) + 8 * len(vectors)
        flops = 2 * len(vectors) * CODES * CHANNELS
        inputs = (vectors, codebook)
        yield Case(
            f"{pictures} pictures", codebook_nearest, codebook_nearest_reference, inputs, num_bytes, flops, (0, 0)
        )
