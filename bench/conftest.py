"""Fixtures of all benchmarks: the machine's measured rates, and reasons for what is not measurable here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from acdc.bench.roofline import Machine


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest) -> Machine | None:
    """The roofline's two rates; not measured where nothing is timed."""
    return None if request.config.getoption("benchmark_disable") else Machine.measure()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Timed benchmarks have no time limit; benchmarks that run once, as tests, have a test's limit."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and not config.getoption("benchmark_disable"):
            item.add_marker(pytest.mark.timeout(0))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[Any]:
    """When timing, report a workload that does not fit into memory as not measured.

    Where nothing is timed the workloads are run as tests, and it is a failure.
    """
    try:
        return (yield)
    except (torch.OutOfMemoryError, MemoryError) as error:
        if item.config.getoption("benchmark_disable"):
            raise
        pytest.skip(f"out of memory: {str(error).splitlines()[0]}")


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Conditions of a figure besides the processor, without names of this host."""
    machine_info.pop("node", None)
    machine_info.update(torch=torch.__version__, threads=torch.get_num_threads())
