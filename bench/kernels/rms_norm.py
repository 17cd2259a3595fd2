"""A layer of LWM-7B: rows of 4,096 numbers, at decode (two branches, one to sixteen codes) and at prefill."""

from __future__ import annotations

from collections.abc import Iterator

import torch

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
        yield Case(f"{rows} rows", add_rms_norm, add_rms_norm_reference, inputs, num_bytes, 0, (2**-7, 2**-7))
