"""The least time that a stage can take on this machine.

Its operations at the measured rate of matrix products, or its bytes at the measured rate of copies: what is longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..engine.models.layers.half_precision import product_dtype
from .overhead import packed_flops
from .overhead.floors import weight_bytes

REPEATS = 9
MATRIX = 1536  # on a side: large enough for full rate, small enough for a laptop
GPU_MATRIX = 8192
COPY_BYTES = 2**28


class Machine(NamedTuple):
    """Measured rates of a device, on a CPU with torch's present number of threads: operations and bytes a second."""

    flops: float
    bandwidth: float

    @classmethod
    def measure(cls, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Machine:
        """The best of some runs: a rate that is reached at all is a bound that holds. Products are those of models in
        ``dtype``, in float32 where the CPU has no units for it."""
        side = MATRIX if device == "cpu" else GPU_MATRIX
        a, b = torch.randn(2, side, side, device=device).to(product_dtype(torch.device(device), dtype))
        product = torch.empty_like(a)
        source = torch.ones(COPY_BYTES, dtype=torch.uint8, device=device)
        target = torch.empty_like(source)
        return cls(
            2 * side**3 / _best(lambda: torch.mm(a, b, out=product)),
            2 * COPY_BYTES / _best(lambda: target.copy_(source)),  # read and written
        )


class Cost(NamedTuple):
    """Needs of one call of a stage: products and sums, and bytes that must be touched at least once."""

    flops: int
    bytes: int

    @classmethod
    def of(cls, run: nn.Module, inputs: Sequence[Tensor]) -> Cost:
        """Counted by running it once: matrix products and convolutions; weights of the parts that ran (of tables of
        embeddings nothing, since few rows are read), inputs and outputs."""
        packed_flops.register()
        ran: list[nn.Module] = []
        hooks = [module.register_forward_pre_hook(lambda module, _: ran.append(module)) for module in run.modules()]
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            outputs = run(*inputs)
        for hook in hooks:
            hook.remove()
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        read = sum(map(weight_bytes, dict.fromkeys(ran)))
        return cls(counter.get_total_flops(), read + sum(value.nbytes for value in (*inputs, *outputs)))

    def floor(self, machine: Machine) -> float:
        """Seconds below which the machine cannot do it."""
        return max(self.flops / machine.flops, self.bytes / machine.bandwidth)


def _best(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times)
