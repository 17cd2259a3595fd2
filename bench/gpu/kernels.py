"""Every kernel on a GPU: right against its plain reference, then its time, the reference's and its floor.

The baselines are the reference in eager PyTorch and compiled by Inductor, all three captured in a CUDA graph, since at
these sizes a launch from the host costs more than the work. Calls take turns with copies of the inputs that together
exceed the L2 cache: weights come from memory in a model, too. The floor is the gate; a ratio to eager rewards a slow
host.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .. import kernels
from ..kernels import Case
from ..roofline import Cost, Machine
from .record import Output, Record, one_line
from .stages import finite, fresh_peak, spread, timed

GRAPH_CALLS = 20  # in one graph, so that its own launch does not count
L2_BYTES = 50 * 2**20  # of a Hopper GPU


def run(names: Sequence[str], device: str, columns: Sequence[str], output: Output) -> dict[str, Any]:
    """Measure, a row a case; ``columns`` are the ways that are timed, none where only right or wrong is asked."""
    record = Record(output, device, {"calls_a_graph": GRAPH_CALLS, "columns": list(columns)})
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    machine = Machine(**record.rates(lambda: Machine.measure(kind, device)._asdict()))
    for name in names or kernel_names():
        for _, case in record.each({"name": name, "case": "inputs"}, every_case([name], device)):
            record.add({"name": name, "case": case.name}, partial(measure, case, machine, device, columns))
    return record.finish()


def kernel_names() -> list[str]:
    """The modules of ``bench/kernels``, one a kernel."""
    return [module.name for module in pkgutil.iter_modules(kernels.__path__)]


def every_case(names: Sequence[str], device: str) -> Iterator[tuple[str, Case]]:
    """(kernel, case) of every module of ``bench/kernels``, or of those named. ``ValueError`` for an unknown name."""
    known = kernel_names()
    for name in names or known:
        if name not in known:
            raise ValueError(f"unknown kernel {name!r}; choose among {', '.join(known)}")
        module = importlib.import_module(f"{kernels.__name__}.{name}")
        yield from ((name, case) for case in module.cases(device))


@torch.no_grad()
def measure(case: Case, machine: Machine, device: str, columns: Sequence[str]) -> dict[str, Any]:
    """One row; what breaks is said in it, and does not end the run."""
    fresh_peak(device)
    cost = Cost(case.flops, case.bytes)
    row: dict[str, Any] = {"floor": cost.floor(machine), **cost._asdict()}
    row["error"] = error(case)
    row["right"] = row["error"] <= 1.0
    for name, call in calls_of(case, columns).items():
        try:
            row[name] = spread([seconds / GRAPH_CALLS for seconds in timed(repeated(call, case, device), (), device)])
        except Exception as failure:  # the next column may still be measured
            row[name] = {"failed": one_line(failure)}
    return row


def calls_of(case: Case, columns: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """Timed calls of a case, by the names of their columns; not every case has a library's call."""
    calls = {"kernel": case.run, "eager": case.reference}
    if case.library is not None:
        calls["library"] = case.library
    if "inductor" in columns:
        torch._dynamo.reset()  # it counts the shapes of a function, and runs the ninth eagerly
        calls["inductor"] = torch.compile(case.reference, mode="max-autotune-no-cudagraphs", dynamic=False)
    return {name: call for name, call in calls.items() if name in columns}


def error(case: Case) -> float:
    """The largest difference from the reference as a share of what the tolerance allows: at most 1 is right. At most
    `stages.WORST`, which a NaN has, too."""
    rtol, atol = case.tolerance
    pairs = zip(_tuple(case.run(*copied(case))), _tuple(case.reference(*copied(case))), strict=True)
    return max(_share(found.double(), wanted.double(), rtol, atol) for found, wanted in pairs)


def _share(found: Tensor, wanted: Tensor, rtol: float, atol: float) -> float:
    share = (found - wanted).abs() / (atol + rtol * wanted.abs()).clamp(min=1e-300)
    return finite(torch.where(found == wanted, 0.0, share))  # equal infinities are right


def copied(case: Case) -> list[Any]:
    """Fresh inputs: some kernels write into them."""
    return [value.clone() if isinstance(value, Tensor) else value for value in case.inputs]


def repeated(call: Callable[..., Any], case: Case, device: str) -> Callable[[], Any]:
    """``GRAPH_CALLS`` calls at a time, on a GPU as one captured graph."""
    turns = [copied(case) for _ in range(copies(case.bytes))]

    def calls() -> None:
        for turn in range(GRAPH_CALLS):
            call(*turns[turn % len(turns)])

    if device != "cuda":
        return calls
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        call(*turns[0])
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        calls()
    return graph.replay


def copies(num_bytes: int) -> int:
    """Number of sets of inputs that push one another out of the cache, up to the calls of a graph."""
    return min(GRAPH_CALLS, 1 + -(-L2_BYTES // max(1, num_bytes)))


def _tuple(outputs: Any) -> tuple[Tensor, ...]:
    return tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)
