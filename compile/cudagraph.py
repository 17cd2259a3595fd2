"""CUDA graphs: the kernels of a stage, captured once a shape and launched together. Not yet run on a GPU.

A graph reads and writes tensors that never move: a call copies its inputs in and copies of the results out. It also
reads the weights where they lie, so weights that are changed in place take effect at the next call, as in eager; a
plan keeps them alive. Inputs at a stage's ``STATIC_INPUTS`` positions (a KV cache's buffers, hundreds of megabytes) are
read where they lie, too: there is one graph for each place, and the cache comes back to few places. Graphs live in
memory, nothing is kept on disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn

from .cache import PlanCache
from .capture import capture_hazards
from .graph_pool import POOLS, GraphPool
from .spec import Plan, StageSpec

CAPTURING = RLock()  # of the process, as a device is: a capture forbids that other threads wait for the whole device
WARM_UPS = 3  # libraries choose kernels and take their workspace at first calls, which a capture must not see


def unsupported_reasons(spec: StageSpec) -> list[str]:
    """No CUDA device, or inputs elsewhere. What ``run`` itself may do against it is found by ``make_plan``."""
    reasons = []
    if not torch.cuda.is_available():
        reasons.append("torch sees no CUDA device")
    if spec.device != "cuda":
        reasons.append(f"it runs on cuda, not on {spec.device}")
    return reasons


def make_plan(run: nn.Module, spec: StageSpec, cache: PlanCache) -> Plan:
    """A plan that captures at its first call. ``ValueError`` (one line, all hazards) if a graph would go wrong."""
    hazards = capture_hazards(run, spec)
    if hazards:
        raise ValueError(f"backend 'cudagraph' cannot capture {spec}: {'; '.join(hazards)}")
    if cache not in POOLS:
        POOLS[cache] = GraphPool(torch.cuda.graph_pool_handle)
    return GraphPlan(run, spec, POOLS[cache])


class GraphPlan:
    """A stage at one set of shapes; its graph is captured again where the pool had to release it."""

    def __init__(self, run: nn.Module, spec: StageSpec, pool: GraphPool) -> None:
        self.run, self.spec, self.pool, self.captured = run, spec, pool, False

    def __call__(self, *inputs: Tensor) -> Any:
        """The stage's result: a tensor, or a tuple of them; the caller's own."""
        assert StageSpec.of(self.spec.name, inputs) == self.spec, "a graph has one shape"
        held = {at: inputs[at] for at in getattr(self.run, "STATIC_INPUTS", ()) if at < len(inputs)}
        key = (self, *(value.data_ptr() for value in held.values()))
        graph = self.pool.graph(key, lambda handle: StageGraph(self.run, self.spec, handle, held), self.captured)
        self.captured = True
        return graph.replay(inputs)


class StageGraph:
    """A captured graph with the tensors that it reads and writes; ``held`` inputs are the caller's own, by position."""

    def __init__(self, run: nn.Module, spec: StageSpec, handle: Any, held: Mapping[int, Tensor]) -> None:
        self.kept = [*run.parameters(), *run.buffers()]  # the graph knows their addresses only
        self.held = held
        self.graph = torch.cuda.CUDAGraph()
        with CAPTURING, torch.inference_mode(False), torch.no_grad():
            self.inputs = [held.get(at, example) for at, example in enumerate(spec.examples())]
            stream = warmed_up(run, self.inputs)
            before = torch.cuda.memory_reserved()
            with torch.cuda.graph(self.graph, pool=handle, stream=stream, capture_error_mode="thread_local"):
                self.outputs = run(*self.inputs)
        grown = torch.cuda.memory_reserved() - before
        own = [value.nbytes for at, value in enumerate(self.inputs) if at not in held]
        self.num_bytes = max(0, grown) + sum(own)

    def replay(self, inputs: tuple[Tensor, ...]) -> Any:
        """Copy in, launch, copy out, all on the current stream."""
        for at, (own, given) in enumerate(zip(self.inputs, inputs, strict=True)):
            if at not in self.held:
                own.copy_(given)
        self.graph.replay()
        return self.outputs.clone() if isinstance(self.outputs, Tensor) else tuple(o.clone() for o in self.outputs)


def warmed_up(run: nn.Module, inputs: Sequence[Tensor]) -> torch.cuda.Stream:
    """A stream on which ``run`` has run; memory that this left unused is given back, for a true count.

    It is a slot's own, since torch has 32 streams and gives them out again and again: a fresh one may be a stream on
    which another slot works. The default one cannot be captured; who works there is alone.
    """
    stream = torch.cuda.current_stream()
    if stream == torch.cuda.default_stream():
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            run(*inputs)
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    return stream
