"""Show-o's tokenizer: 13 channels, 256 or 1,024 vectors a picture."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ...kernels.lfq import lfq_index, lfq_index_reference, lfq_vectors, lfq_vectors_reference
from . import Case, moved

CHANNELS = 13


def cases(device: str) -> Iterator[Case]:
    """Both ways, in float32 as the encoder hands them over."""
    for count in (256, 16 * 1024):
        vectors = torch.randn(count, CHANNELS).to(device)
        indices = lfq_index_reference(vectors)
        num_bytes = moved(vectors, indices)
        yield Case(f"{count} to indices", lfq_index, lfq_index_reference, (vectors,), num_bytes, 0, (0, 0))
        given = (indices, CHANNELS, torch.float32)
        yield Case(f"{count} to vectors", lfq_vectors, lfq_vectors_reference, given, num_bytes, 0, (0, 0))
