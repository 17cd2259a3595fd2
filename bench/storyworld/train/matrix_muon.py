"""Muon for networks with convolutions: every kernel is one matrix [out, in * kh * kw].

K. Jordan 2024, "Muon: an optimizer for hidden layers"; the update's size is matched to AdamW's by the factor
0.2 sqrt(max(rows, columns)) of "Muon is Scalable for LLM Training" (arXiv 2502.16982), so one rate serves both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from .precision import compute_dtype

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic Newton-Schulz iteration
NOT_HIDDEN = ("embedding", "conv_in", "conv_out")  # input and output layers stay with AdamW


def orthogonalize(matrix: Tensor, iterations: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly: singular values of [R, C] driven towards 1, in low precision."""
    a, b, c = COEFFICIENTS
    x = matrix.to(compute_dtype(matrix.device.type))
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class MatrixMuon(Optimizer):
    """Nesterov momentum, orthogonalised; decoupled weight decay. Parameters have two or more dimensions."""

    def __init__(self, params: Iterable[Any], lr: float, momentum: float = 0.95, weight_decay: float = 0.01) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None, "the training loop has none"
        for group in self.param_groups:
            for value in group["params"]:
                if value.grad is None:
                    continue
                state = self.state[value]
                if not state:
                    state["momentum"] = torch.zeros_like(value)
                state["momentum"].lerp_(value.grad, 1 - group["momentum"])
                direction = value.grad.lerp(state["momentum"], group["momentum"])
                update = orthogonalize(direction.reshape(len(value), -1))
                scale = 0.2 * max(update.shape) ** 0.5
                value.mul_(1 - group["lr"] * group["weight_decay"])
                value.add_(update.reshape(value.shape).to(value.dtype), alpha=-group["lr"] * scale)


def corrector_optimizers(module: nn.Module, lr: float, muon: bool, weight_decay: float = 0.01) -> list[Optimizer]:
    """AdamW, or Muon for hidden matrices and kernels with AdamW for the rest; vectors get no weight decay."""
    named = [(name, value) for name, value in module.named_parameters() if value.requires_grad]
    hidden = {name for name, value in named if muon and value.ndim > 1 and not any(part in name for part in NOT_HIDDEN)}
    groups = [
        {
            "params": [v for n, v in named if v.ndim > 1 and n not in hidden],
            "weight_decay": weight_decay,
        },
        {"params": [v for _, v in named if v.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizers: list[Optimizer] = [
        AdamW([group for group in groups if group["params"]], lr=lr, betas=(0.9, 0.99), fused=True)
    ]
    if hidden:
        matrices = [v for n, v in named if n in hidden]
        optimizers.append(MatrixMuon(matrices, lr=lr, weight_decay=weight_decay))
    return optimizers
