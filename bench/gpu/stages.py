"""Every stage on every backend of a GPU: first whether it is right, then how long it takes.

A row is a stage, a batch and a backend. It is written when it is done, so that a run that is cut short keeps what it
has; what the time does not suffice for is listed as such.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from statistics import median, quantiles
from typing import Any

import torch
from torch import Tensor

from ...compile.backends import compile_stage, unsupported_reasons
from ...compile.cache import PlanCache
from ...compile.spec import Plan, StageSpec
from ...engine.engine import Engine
from ...engine.loading.bundle import parse_dtype
from ..roofline import Cost, Machine
from ..workloads import Workload, stages
from .record import Output, Record
from .replay import check_replay

ROUNDS = 30
WARM_UPS = 5
WORST = 1e9  # in place of NaN, which JSON does not have


def run(engine: Engine, backends: Sequence[str], batches: Sequence[int], output: Output) -> dict[str, Any]:
    """Measure, a row a stage, batch and backend."""
    device = engine.device.type
    settings = {name: getattr(engine, name) for name in ("name", "dtype", "kernels", "attention")}
    record = Record(output, device, {**settings, "rounds": ROUNDS})
    machine = Machine(**record.rates(lambda: Machine.measure(parse_dtype(engine.dtype), device)._asdict()))
    for batch in batches:
        for work in record.each({"stage": "inputs", "batch": batch}, stages(engine, batch)):
            costs: list[Cost] = []  # counted for the first backend
            for backend in backends:
                what = {"stage": work.name, "batch": batch, "backend": backend}
                record.add(what, partial(measure, work, backend, costs, machine, device))
    return record.finish()


def measure(work: Workload, backend: str, costs: list[Cost], machine: Machine, device: str) -> dict[str, Any]:
    """One row; what a backend refuses is said in it."""
    spec = StageSpec.of(work.name, work.inputs)
    if reasons := unsupported_reasons(spec, backend):
        return {"refused": reasons}
    fresh_peak(device)
    if not costs:
        costs.append(Cost.of(work.run, work.inputs))
    began = time.perf_counter()
    plan = compile_stage(work.run, spec, backend, PlanCache())
    built = time.perf_counter() - began
    row = {"built": built, "error": error(work, plan), "floor": costs[0].floor(machine), **costs[0]._asdict()}
    if backend == "cudagraph":
        replay = check_replay(work.run, spec, PlanCache(), backend)
        row["replay"] = {"passed": replay.passed, **asdict(replay)}
    return {**row, **spread(timed(plan, work.inputs, device))}


@torch.no_grad()
def error(work: Workload, plan: Plan) -> float:
    """The largest difference from eager, relative to the largest value of each output; `WORST` where it is none."""
    wanted, found = (_tuple(call(*work.inputs)) for call in (work.run, plan))
    return max(_share(a.double(), b.double()) for a, b in zip(found, wanted, strict=True))


def _share(found: Tensor, wanted: Tensor) -> float:
    difference = torch.where(found == wanted, 0.0, (found - wanted).abs() / wanted.abs().max())
    return finite(difference)


def finite(differences: Tensor) -> float:
    """The largest of them, at most `WORST`, which represents NaN, too."""
    return float(differences.nan_to_num(WORST).clamp(max=WORST).max())


def fresh_peak(device: str) -> None:
    """Let go of what rows before held, so that the peak of the device's memory is the next row's own."""
    if device == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


@torch.inference_mode()
def timed(plan: Plan, inputs: Sequence[Tensor], device: str) -> list[float]:
    """Seconds of each of ``ROUNDS`` calls: the device's own on a GPU, else the wall's."""
    for _ in range(WARM_UPS):
        plan(*inputs)
    return list(_on_gpu(lambda: plan(*inputs)) if device == "cuda" else _on_cpu(lambda: plan(*inputs)))


def spread(times: Sequence[float]) -> dict[str, float]:
    """Median and quartiles in seconds."""
    low, _, high = quantiles(times, n=4)
    return {"median": median(times), "low": low, "high": high}


def _on_cpu(work: Callable[[], Any]) -> Iterator[float]:
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        yield time.perf_counter() - began


def _on_gpu(work: Callable[[], Any]) -> Iterator[float]:
    marks = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(ROUNDS)]
    for start, end in marks:
        start.record()
        work()
        end.record()
    torch.cuda.synchronize()
    yield from (start.elapsed_time(end) / 1e3 for start, end in marks)


def _tuple(outputs: Any) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)
