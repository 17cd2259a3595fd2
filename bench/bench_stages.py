"""Every stage x every backend that can run it here x stories side by side: ``pytest bench/bench_stages.py``.

``python -m acdc.bench.stage_page`` turns the JSON of ``--benchmark-json`` into a table.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from acdc.bench.roofline import Cost, Machine
from acdc.bench.workloads import BATCHES, Workload, backends_to_time, skip_refused, stages
from acdc.compile.backends import compile_stage, unsupported_reasons
from acdc.compile.cache import PlanCache
from acdc.compile.spec import StageSpec
from acdc.engine.engine import Engine
from acdc.engine.runtime.backends import STAGES


@cache
def workloads(batch: int) -> dict[str, Workload]:
    """The stages of the embedded bundle."""
    return {work.name: work for work in stages(Engine.from_pretrained("storyworld", backend="eager"), batch)}


@cache
def cost_of(stage: str, batch: int) -> Cost:
    """Counted once for all backends."""
    return Cost.of(workloads(batch)[stage].run, workloads(batch)[stage].inputs)


@pytest.mark.benchmark(group="stages, float32")
@pytest.mark.parametrize("backend", backends_to_time())
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("stage", STAGES)
def test_stage(benchmark: Any, machine: Machine | None, stage: str, batch: int, backend: str) -> None:
    """One call; the plan is built before."""
    work = workloads(batch)[stage]
    spec = StageSpec.of(stage, work.inputs)
    skip_refused(backend, unsupported_reasons(spec, backend))
    plan = compile_stage(work.run, spec, backend, PlanCache())
    with torch.inference_mode():
        found = benchmark.pedantic(plan, work.inputs, rounds=15, iterations=4, warmup_rounds=2)
    assert found is not None
    cost = cost_of(stage, batch)
    benchmark.extra_info.update(stage=stage, batch=batch, backend=backend, flops=cost.flops, bytes=cost.bytes)
    if machine is not None:
        benchmark.extra_info.update(floor=cost.floor(machine), rates=machine._asdict())
