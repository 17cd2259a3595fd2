"""Every kernel beside its reference, the library and Inductor: ``pytest bench/bench_kernels.py`` on a GPU.

``python -m acdc.bench.gpu kernels`` is the same in one command with device clocks and captured graphs, and writes its
JSON after every row. Where there is no GPU, references and libraries alone are run, as tests of the cases (a kernel
would be its own reference there), one case a kernel.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from acdc.bench import kernels as cases
from acdc.bench.gpu.kernels import L2_BYTES, copied, error, every_case
from acdc.bench.kernels import Case

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def named() -> Iterator[Any]:
    """Every case on a GPU; kernels are not timed anywhere else."""
    if DEVICE == "cuda":
        for name, case in every_case([], DEVICE):
            yield pytest.param(case, id=f"{name}, {case.name}")


@pytest.mark.parametrize("name", [found.name for found in pkgutil.iter_modules(cases.__path__)])
@torch.no_grad()
def test_the_first_case_runs_and_the_library_agrees(name: str) -> None:
    _, case = next(every_case([name], "cpu"))
    case.reference(*copied(case))
    if case.library is not None:
        assert error(case._replace(run=case.library)) <= 4, "a few roundings of the type"


@pytest.mark.gpu
@pytest.mark.parametrize("column", ["kernel", "eager", "library", "inductor"])
@pytest.mark.parametrize("case", list(named()))
@torch.no_grad()
def test_kernel(benchmark: Any, case: Case, column: str) -> None:
    """A round is one call after the L2 cache was swept."""
    runs = {"kernel": case.run, "eager": case.reference, "library": case.library}
    call = torch.compile(case.reference) if column == "inductor" else runs[column]
    if call is None:
        pytest.skip("the reference is the library's best call")
    assert error(case) <= 1
    sweep, inputs = torch.empty(4 * L2_BYTES, dtype=torch.uint8, device=DEVICE), copied(case)

    def setup() -> None:
        sweep.zero_()
        torch.cuda.synchronize()

    def timed() -> None:
        call(*inputs)
        torch.cuda.synchronize()

    benchmark.pedantic(timed, setup=setup, rounds=30, warmup_rounds=5)
    benchmark.extra_info.update(case=case.name, column=column, bytes=case.bytes, flops=case.flops)
