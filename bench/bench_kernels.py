"""Every kernel against its reference, the library and Inductor: ``pytest bench/bench_kernels.py`` on a GPU.

``python -m acdc.bench.gpu kernels`` is the same in one command with device clocks and captured graphs, and writes its
JSON after every row. Without a GPU, references and libraries alone are run, as tests of the cases (a kernel
would be its own reference there), one case a kernel.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
import torch

from acdc.bench import kernels as cases
from acdc.bench.gpu.kernels import L2_BYTES, copied, error, every_case
from acdc.bench.kernels import Case

KERNELS = [found.name for found in pkgutil.iter_modules(cases.__path__)]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def timed_calls() -> Iterator[Any]:
    """(kernel, number of its case, column) of all that a GPU times; the inputs are made again when their turn comes."""
    for name in KERNELS if DEVICE == "cuda" else ():
        for number, (_, case) in enumerate(every_case([name], DEVICE)):
            for column in ("kernel", "eager", "inductor", *(["library"] if case.library is not None else [])):
                yield pytest.param(name, number, column, id=f"{name}, {case.name}, {column}")


def call_of(case: Case, column: str) -> Callable[..., Any]:
    if column == "library":
        assert case.library is not None
        return case.library
    return {"kernel": case.run, "eager": case.reference, "inductor": torch.compile(case.reference)}[column]


@pytest.mark.parametrize("name", KERNELS)
@torch.no_grad()
def test_the_first_case_runs_and_the_library_agrees(name: str) -> None:
    _, case = next(every_case([name], "cpu"))
    case.reference(*copied(case))
    if case.library is not None:
        assert error(case._replace(run=case.library)) <= 4, "a few roundings of the type"


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "number", "column"), list(timed_calls()))
@torch.no_grad()
def test_kernel(benchmark: Any, name: str, number: int, column: str) -> None:
    """A round is one call after the L2 cache was swept."""
    case = next(islice((case for _, case in every_case([name], DEVICE)), number, None))
    call = call_of(case, column)
    assert error(case) <= 1
    sweep, inputs = torch.empty(4 * L2_BYTES, dtype=torch.uint8, device=DEVICE), copied(case)

    def setup() -> None:
        sweep.zero_()
        torch.cuda.synchronize()

    def timed() -> None:
        call(*inputs)
        torch.cuda.synchronize()

    benchmark.pedantic(timed, setup=setup, rounds=30, warmup_rounds=5)
    benchmark.extra_info.update(bytes=case.bytes, flops=case.flops)
