"""Every stage on every backend of a GPU: first whether it is right, then how long it takes.

A row is a stage, a batch and a backend. It is written when it is done, so that a run that is cut short keeps what it
has; what the time does not suffice for is listed as such.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from torch import Tensor

from ...compile.backends import compile_stage, unsupported_reasons
from ...compile.cache import PlanCache
from ...compile.spec import Plan, StageSpec
from ...engine.atomic import check_directory, write_json
from ...engine.engine import Engine
from ..roofline import Cost, Machine
from ..workloads import Workload, stages
from .replay import check_replay

ROUNDS = 30
WARM_UPS = 5


def run(engine: Engine, backends: Sequence[str], batches: Sequence[int], seconds: float, out: Path) -> dict[str, Any]:
    """Measure, and write ``out`` after every row. Nothing new is begun when ``seconds`` have passed."""
    check_directory(out.parent)
    out.parent.mkdir(parents=True, exist_ok=True)
    began, device = time.perf_counter(), engine.device.type
    machine = Machine.measure(device=device)
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "torch": torch.__version__,
        "settings": {"bundle": engine.name, "dtype": engine.dtype, "rounds": ROUNDS},
        "rates": machine._asdict(),
        "rows": [],
        "not_reached": [],
    }
    for batch in batches:
        for work in stages(engine, batch):
            cost = Cost.of(work.run, work.inputs)
            for backend in backends:
                what = {"stage": work.name, "batch": batch, "backend": backend}
                if time.perf_counter() - began > seconds:
                    found["not_reached"].append(what)
                else:
                    found["rows"].append(what | measure(work, backend, cost, machine, device))
                write_json(out, found)
    return found


def measure(work: Workload, backend: str, cost: Cost, machine: Machine, device: str) -> dict[str, Any]:
    """One row; what a backend refuses or breaks at is said in it, and does not end the run."""
    spec = StageSpec.of(work.name, work.inputs)
    if reasons := unsupported_reasons(spec, backend):
        return {"refused": reasons}
    try:
        began = time.perf_counter()
        plan = compile_stage(work.run, spec, backend, PlanCache())
        built = time.perf_counter() - began
        row = {"built": built, "error": error(work, plan), "floor": cost.floor(machine), **cost._asdict()}
        if backend == "cudagraph":
            row["replay"] = asdict(check_replay(work.run, spec, PlanCache(), backend))
        return {**row, **spread(timed(plan, work.inputs, device))}
    except Exception as failure:  # the next row may still be measured
        return {"failed": f"{type(failure).__name__}: {str(failure).splitlines()[0] if str(failure) else ''}"}


@torch.no_grad()
def error(work: Workload, plan: Plan) -> float:
    """The largest difference from eager, relative to the largest value of each output."""
    wanted, found = (_tuple(call(*work.inputs)) for call in (work.run, plan))
    worst = [(a.double() - b.double()).abs().max() / b.double().abs().max() for a, b in zip(found, wanted, strict=True)]
    return float(max(worst))


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
