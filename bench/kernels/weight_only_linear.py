"""The linear layers of LWM-7B: attention's (also joint), the feed-forward's (gate and value joint), the vision head.

Two rows are one token with guidance, 16 a window of eight, 64 one of 32. Weights are drawn as an initialisation would
draw them; int8 and fp8 are compared with the same packed weights, not with what they were before.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.weight_only_linear import quantise, weight_only_linear, weight_only_linear_reference
from . import Case, moved

LAYERS = {
    "attention out": (4096, 4096),
    "queries, keys, values": (12288, 4096),
    "gate and value": (22016, 4096),
    "feed-forward out": (4096, 11008),
    "vision head": (8448, 4096),
}


def cases(device: str) -> Iterator[Case]:
    """Every layer in bfloat16 and int8 for one token; a narrow and a wide one in all kinds, the wide for windows."""
    for name, (outputs, inputs) in LAYERS.items():
        weight = (torch.randn(outputs, inputs, device=device) * 0.02).to(torch.bfloat16)
        kinds = {"bfloat16": (weight, None), "int8": quantise(weight, "int8")}
        if name in ("attention out", "gate and value"):
            kinds |= {"int8 in groups of 128": quantise(weight, "int8", 128), "fp8": quantise(weight, "fp8")}
        for kind, (packed, scales) in kinds.items():
            windows = name == "gate and value" and kind in ("bfloat16", "int8")
            for rows in (2, 16, 64) if windows else (2,):
                x = torch.randn(rows, inputs, device=device).to(torch.bfloat16)
                read = moved(x, packed) if scales is None else moved(x, packed, scales)
                yield Case(
                    f"{name}, {rows} rows, {kind}",
                    weight_only_linear,
                    weight_only_linear_reference,
                    (x, packed, scales, None),
                    read + 2 * rows * outputs,
                    2 * rows * inputs * outputs,
                    (2**-7, 2**-7),
                    by_torch if scales is None else None,
                )


def by_torch(x: Tensor, weight: Tensor, scales: None, bias: None) -> Tensor:
    """The library's product with the weights as they are."""
    return F.linear(x, weight)
