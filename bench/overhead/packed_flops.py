"""Operations that PyTorch's counter lacks: packed layers (``engine/models/layers/packed.py``), attention on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import conv_flop_count, flop_registry, register_flop_formula, sdpa_flop_count

Shape = Sequence[int]


def register() -> None:
    """Register the formulas; a second call does nothing."""
    formulas: dict[Any, Callable[..., int]] = {
        torch.ops.mkldnn._linear_pointwise: _linear,
        torch.ops.mkldnn._convolution_pointwise: _convolution,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    }
    for operator, formula in formulas.items():
        if operator not in flop_registry:
            register_flop_formula(operator)(formula)


def _linear(x: Shape, weight: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    return 2 * prod(x) * weight[0]


def _convolution(x: Shape, weight: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    return int(conv_flop_count(list(x), list(weight), list(out_shape)))


def _attention(q: Shape, k: Shape, v: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    return int(sdpa_flop_count(q, k, v))
