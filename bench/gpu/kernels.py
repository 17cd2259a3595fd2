"""Every kernel on a GPU: right against its plain reference, then its time beside the reference's and its floor.

The baselines are the reference in eager PyTorch and compiled by Inductor, all three captured in a CUDA graph, since at
these sizes a launch from the host costs more than the work. Calls take turns with copies of the inputs that together
exceed the L2 cache: weights come from memory in a model, too. The floor is the gate; a ratio to eager rewards a slow
host.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...engine.utils.atomic import check_directory, write_json
from .. import kernels
from ..kernels import Case
from ..roofline import Cost, Machine
from .stages import finite, one_line, spread, timed

GRAPH_CALLS = 20  # in one graph, so that its own launch does not count
L2_BYTES = 50 * 2**20  # of a Hopper GPU


def run(names: Sequence[str], device: str, compiled: bool, seconds: float, out: Path) -> dict[str, Any]:
    """Measure, and write ``out`` after every row. Nothing new is begun when ``seconds`` have passed."""
    check_directory(out.parent)
    out.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    machine = Machine.measure(torch.bfloat16 if device == "cuda" else torch.float32, device)
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "torch": torch.__version__,
        "settings": {"calls_a_graph": GRAPH_CALLS},
        "rates": machine._asdict(),
        "rows": [],
        "not_reached": [],
    }
    for name, case in every_case(names, device):
        what = {"name": name, "case": case.name}
        if time.perf_counter() - began > seconds:
            found["not_reached"].append(what)
        else:
            found["rows"].append(what | measure(case, machine, device, compiled))
        write_json(out, found)
    return found


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
def measure(case: Case, machine: Machine, device: str, compiled: bool) -> dict[str, Any]:
    """One row; what breaks is said in it, and does not end the run."""
    cost = Cost(case.flops, case.bytes)
    row: dict[str, Any] = {"floor": cost.floor(machine), **cost._asdict()}
    try:
        row["error"] = error(case)
        row["right"] = row["error"] <= 1.0
    except Exception as failure:
        return row | {"failed": one_line(failure)}
    runs = {"kernel": case.run, "eager": case.reference}
    if case.library is not None:
        runs["library"] = case.library
    if compiled:
        runs["inductor"] = torch.compile(case.reference, mode="max-autotune-no-cudagraphs", dynamic=False)
    for name, call in runs.items():
        try:
            row[name] = spread([seconds / GRAPH_CALLS for seconds in timed(repeated(call, case, device), (), device)])
        except Exception as failure:  # the next column may still be measured
            row[name] = {"failed": one_line(failure)}
    return row


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
    """The inputs anew: some kernels write into them."""
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
    """How many sets of inputs push one another out of the cache, as far as the calls of a graph reach."""
    return min(GRAPH_CALLS, 1 + -(-L2_BYTES // max(1, num_bytes)))


def _tuple(outputs: Any) -> tuple[Tensor, ...]:
    return tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)
