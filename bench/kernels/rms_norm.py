"""A layer of LWM-7B: rows of 4,096 numbers, at decode (two branches, one to sixteen codes) and at prefill."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.rms_norm import add_rms_norm, add_rms_norm_reference
from . import Case, moved

HIDDEN = 4096


def cases(device: str) -> Iterator[Case]:
    """bfloat16, with the residual."""
    weight = torch.randn(HIDDEN).to(device, torch.bfloat16)
    for rows in (2, 32, 1024):
        x, residual = torch.randn(2, rows, HIDDEN).to(device, torch.bfloat16)
        inputs = (x, residual, weight, 1e-6)
        num_bytes = 2 * moved(x, residual) + moved(weight)
        yield Case(f"{rows} rows", add_rms_norm, add_rms_norm_reference, inputs, num_bytes, 0, (2**-7, 2**-7), by_torch)


def by_torch(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """PyTorch's own fused norm, the add before it."""
    s = x + residual
    return F.rms_norm(s, weight.shape, weight, eps), s
