"""Linear layers of few rows in float32 on AMD's processors: y^T = W x^T + b.

    y = x W^T       x [rows, in], W [out, in]: MKL, as torch calls it, shares the rows among threads
    y^T = W x^T     the same sums; MKL shares the outputs, so that each thread reads its own part of W once

Guided decoding has 2 rows a story, and a pass that verifies guesses a few dozen. By the first form they take as long
as if weights were read several times: on two cores of an AMD EPYC with a weight [5632, 2048], 7.9 ms for 2 rows, 12.8
for 4 and 12.4 for 16, by the second form 4.4, 4.4 and 7.2 (``bench/results/few_rows_cpu_2026-12-01.json``). From 128
rows on both are alike, as they are for weights that a core's cache holds. Other makers' processors have not been
measured and keep the first form. Processor and shapes alone decide, so that a run repeats itself. A plan is made of
the first form, which its compiler knows.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....compile.processor import maker

MOST_ROWS = 64
LARGE = 1 << 19  # numbers of a weight


class FewRowsLinear(nn.Linear):
    """A linear layer in the faster of both forms."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        return multiply_rows(x, self.weight, self.bias)


def multiply_rows(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.linear(x, weight, bias)`` up to the order of sums: ``x`` [..., in], ``weight`` [out, in], ``bias`` [out]."""
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return F.linear(x, weight, bias)
    rows = x.numel() // x.shape[-1]
    if not (1 < rows <= MOST_ROWS and weight.numel() >= LARGE and shares_rows()):
        return F.linear(x, weight, bias)
    return multiply_turned(x, weight, bias)


def multiply_turned(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The second form, of the same tensors."""
    columns = x.reshape(-1, x.shape[-1]).t()
    turned = weight @ columns if bias is None else torch.addmm(bias.unsqueeze(1), weight, columns)
    return turned.t().contiguous().view(*x.shape[:-1], len(weight))


@functools.cache
def shares_rows() -> bool:
    """True on a processor where the first form was measured to be the slower one."""
    return maker() == "AuthenticAMD" and torch.backends.mkl.is_available()


def turn(*models: nn.Module) -> None:
    """Every large linear layer in float32, in place."""
    for layer in (module for model in models for module in model.modules()):
        if type(layer) is nn.Linear and layer.weight.dtype == torch.float32 and layer.weight.numel() >= LARGE:
            layer.__class__ = FewRowsLinear
