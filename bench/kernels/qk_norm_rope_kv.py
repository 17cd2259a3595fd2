"""A layer of LWM-7B (decode, a draft, a frame) and of Show-o (a step over a picture), two branches, one projection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ...kernels.qk_norm_rope_kv import heads_of, qk_norm_rope_kv, qk_norm_rope_kv_reference
from . import Case, moved

ROWS, HEADS, CAPACITY = 2, 32, 2304


def cases(device: str) -> Iterator[Case]:
    """bfloat16; angles do not matter to the time, so the tables are random."""
    for tokens in (1, 16, 257):
        inputs = _inputs(device, tokens, size=128, rotary_dim=128)
        yield _case(f"LWM-7B, {tokens} tokens", inputs, (0.0, 0.0))
    norm = {name: torch.randn(64).to(device, torch.bfloat16) for name in ("q_weight", "q_bias", "k_weight", "k_bias")}
    inputs = _inputs(device, 258, size=64, rotary_dim=32)
    # The norm may round to the neighbour of numbers up to about 8, of which a rotation adds two.
    yield _case("Show-o, 258 tokens", inputs, (2**-6, 2**-4), interleaved=False, norm="layer", **norm)


def _inputs(device: str, tokens: int, size: int, rotary_dim: int) -> tuple[Tensor, ...]:
    """q, k and v as one projection, cos, sin, and positions that begin at different slots."""
    fused = torch.randn(ROWS, tokens, 3 * HEADS * size).to(device, torch.bfloat16)
    cos, sin = torch.randn(2, CAPACITY, rotary_dim).to(device)
    positions = (torch.tensor([[1000], [900]]) + torch.arange(tokens)).to(device)
    return fused, cos, sin, positions


def _case(name: str, inputs: tuple[Tensor, ...], tolerance: tuple[float, float], **options: Any) -> Case:
    fused, cos, _, positions = inputs
    angles = 2 * positions.numel() * cos.shape[1] * cos.element_size()
    num_bytes = 2 * moved(fused) + angles + moved(positions)
    run, reference = (_whole(function, fused, options) for function in (qk_norm_rope_kv, qk_norm_rope_kv_reference))
    return Case(name, run, reference, inputs, num_bytes, 0, tolerance)


def _whole(function: Callable[..., Tensor], fused: Tensor, options: dict[str, Any]) -> Callable[..., Any]:
    """The function on buffers of its own, which it returns too, so that what was written is compared."""
    shape = (2, ROWS, HEADS, CAPACITY, fused.shape[2] // (3 * HEADS))
    keys, values = torch.zeros(shape, dtype=fused.dtype, device=fused.device)

    def run(fused: Tensor, cos: Tensor, sin: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = heads_of(fused, HEADS)
        return function(q, k, v, cos, sin, positions, keys, values, **options), keys, values

    return run
