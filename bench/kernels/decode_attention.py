"""A layer of LWM-7B (32 heads of 128 numbers, two guidance branches) after one frame and after eight, and a window.

At Show-o's width too (32 heads of 64). Capacities are those of eight frames and more, lengths what is owned.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.decode_attention import decode_attention, decode_attention_reference
from . import Case, moved

ROWS, HEADS, CAPACITY = 2, 32, 2432


def cases(device: str) -> Iterator[Case]:
    """bfloat16; bytes of the slots that are seen, not of the capacity."""
    for size, length, new in ((128, 256, 1), (128, 2184, 1), (128, 2184, 16), (128, 2184, 128), (64, 2184, 1)):
        q = torch.randn(ROWS, HEADS, new, size).to(device, torch.bfloat16)
        keys, values = torch.randn(2, ROWS, HEADS, CAPACITY, size).to(device, torch.bfloat16)
        lengths = torch.full((ROWS,), length, dtype=torch.int64, device=device)
        seen = keys[:, :, : length + new]
        flops = 4 * ROWS * HEADS * size * sum(range(length + 1, length + new + 1))
        yield Case(
            f"{new} new of heads of {size} after {length}",
            decode_attention,
            decode_attention_reference,
            (q, keys, values, lengths),
            2 * moved(seen) + 2 * moved(q),
            flops,
            (2**-6, 2**-8),
            by_torch,
        )


def by_torch(q: Tensor, keys: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
    """PyTorch's attention over the capacity, with a mask made of the lengths, which stay on the device."""
    slots = torch.arange(keys.shape[2], device=q.device)
    seen = slots <= lengths[:, None, None, None] + torch.arange(q.shape[2], device=q.device)[:, None]
    return F.scaled_dot_product_attention(q, keys, values, attn_mask=seen)
