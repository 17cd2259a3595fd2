"""Does a plan give the very bits of the stage itself, call after call? Meant for CUDA graphs, which run its kernels.

Not yet run on a GPU; with the eager backend the check runs anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from ...compile.backends import compile_stage
from ...compile.cache import PlanCache
from ...compile.spec import StageSpec, TensorSpec


@dataclass(frozen=True)
class ReplayRecord:
    """``equal`` of ``replays`` calls were bit-equal in every output; ``distinct`` results tell that inputs arrived."""

    stage: str
    backend: str
    replays: int
    equal: int
    distinct: int
    first_ms: float  # with the capture
    plan_ms: float
    eager_ms: float

    @property
    def passed(self) -> bool:
        """Every replay was bit-equal, and no two results were alike."""
        return self.equal == self.distinct == self.replays


@torch.no_grad()
def check_replay(
    run: nn.Module, spec: StageSpec, cache: PlanCache, backend: str = "cudagraph", replays: int = 100, below: int = 8
) -> ReplayRecord:
    """Call the plan ``replays`` times with inputs of their own, and ``run`` with the same ones.

    Integers are drawn in [0, ``below``). ``ValueError`` if the backend cannot serve ``spec``.
    """
    plan = compile_stage(run, spec, backend, cache)
    held = _draw(spec, replays, below)
    first_ms, _ = _timed(plan, held)
    equal, results, times = 0, set(), []
    for call in range(replays):
        inputs = _draw(spec, call, below)
        for at in getattr(
            run, "STATIC_INPUTS", ()
        ):  # a graph reads these where they lie: elsewhere would be another graph
            inputs[at] = held[at].copy_(inputs[at])
        eager_ms, expected = _timed(run, inputs)
        plan_ms, found = _timed(plan, inputs)
        equal += _bits(found) == _bits(expected)
        results.add(_bits(found))
        times.append((plan_ms, eager_ms))
    plan_ms, eager_ms = (median(column) for column in zip(*times, strict=True))
    return ReplayRecord(str(spec), backend, replays, equal, len(results), first_ms, plan_ms, eager_ms)


def _draw(spec: StageSpec, seed: int, below: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def draw(given: TensorSpec) -> Tensor:
        if given.dtype.is_floating_point:
            return torch.randn(given.shape, generator=generator).to(spec.device, given.dtype)
        return torch.randint(below, given.shape, generator=generator).to(spec.device, given.dtype)

    return [draw(given) for given in spec.inputs]


def _timed(call: Callable[..., Any], inputs: list[Tensor]) -> tuple[float, Any]:
    """Milliseconds until the result is there, and the result."""
    began = time.perf_counter()
    result = call(*inputs)
    if inputs[0].is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - began) * 1e3, result


def _bits(result: Any) -> bytes:
    """The bytes of all outputs."""
    outputs = result if isinstance(result, tuple) else (result,)
    return b"".join(value.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes() for value in outputs)
