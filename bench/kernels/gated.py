"""LWM-7B's SwiGLU (11,008 wide; decode, drafts, prefill) and SD 1.5's GEGLU (256 px and 512 px, two branches)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ...kernels.gated import geglu, geglu_reference, swiglu, swiglu_reference
from . import Case, moved

TOLERANCE = (2**-7, 1e-6)  # the activation may round to the neighbour, and then the product
FFN = 11008
WIDTHS = {4096: 1280, 1024: 2560, 256: 5120, 64: 5120}  # positions of a 64 x 64 latent's levels -> width


def cases(device: str) -> Iterator[Case]:
    """bfloat16, gate and value halves of one product."""
    for rows in (2, 32, 2048):
        yield _case(f"SwiGLU, {rows} rows", swiglu, swiglu_reference, device, rows, FFN)
    for shrunk in (4, 1):  # 256 px, 512 px
        for positions, width in WIDTHS.items():
            rows = 2 * positions // shrunk
            yield _case(f"GEGLU, {rows} rows of {width}", geglu, geglu_reference, device, rows, width)


def _case(
    name: str, run: Callable[..., Tensor], reference: Callable[..., Tensor], device: str, rows: int, width: int
) -> Case:
    fused = torch.randn(rows, 2 * width).to(device, torch.bfloat16)
    return Case(name, _of_halves(run), _of_halves(reference), (fused,), 3 * moved(fused) // 2, 0, TOLERANCE)


def _of_halves(function: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    """Views are taken in the call: a copy of a view would lie side by side."""
    return lambda fused: function(*fused.chunk(2, -1))
