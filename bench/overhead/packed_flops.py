"""Operations of packed layers (``engine/models/layers/packed.py``) in the registry of PyTorch's counter."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import conv_flop_count, flop_registry, register_flop_formula

Shape = Sequence[int]


def register() -> None:
    """Register the formulas; a second call does nothing."""
    formulas = {torch.ops.mkldnn._linear_pointwise: _linear, torch.ops.mkldnn._convolution_pointwise: _convolution}
    for operator, formula in formulas.items():
        if operator not in flop_registry:
            register_flop_formula(operator)(formula)


def _linear(x: Shape, weight: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    return 2 * prod(x) * weight[0]


def _convolution(x: Shape, weight: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    return int(conv_flop_count(list(x), list(weight), list(out_shape)))
