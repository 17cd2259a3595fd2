"""The line that names a test run's processor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.processor import describe

XEON = "processor\t: 0\nmodel name\t: A Xeon\nflags\t\t: fpu avx2 avx512f amx_bf16 avx512_bf16\nprocessor\t: 1\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd sve bf16\n"


def test_what_the_processor_has_and_what_limits_it() -> None:
    line = describe(XEON, {"ONEDNN_MAX_CPU_ISA": "AVX2", "HOME": "/"}, (1, 2), 0)
    assert line.startswith("processor: A Xeon; avx2 avx512f avx512_bf16 amx_bf16; PyTorch uses ")
    assert "; ONEDNN_MAX_CPU_ISA=AVX2; 1 of 2 cores; " in line
    assert "HOME" not in line


@pytest.mark.parametrize(("cpuinfo", "sets"), [(ARM, "; asimd sve bf16; "), ("", "; no known instruction sets; ")])
def test_other_machines(cpuinfo: str, sets: str) -> None:
    assert sets in describe(cpuinfo, {}, (4, 4), 0)


@pytest.mark.parametrize(("environment", "threads"), [({}, 1), ({"OMP_NUM_THREADS": "3"}, 3)])
def test_workers_have_a_thread_each_unless_more_are_set(environment: dict[str, str], threads: int) -> None:
    assert describe(XEON, environment, (2, 2), 4).endswith(f"; 4 workers of {threads} threads")


@pytest.mark.long
@pytest.mark.parametrize("flags", [["-q"], []])
def test_a_run_names_its_processor_once(flags: list[str]) -> None:
    root = Path(__file__).parents[1]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        *flags,
        "--collect-only",
        "tests/test_layering.py",
    ]
    output = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120).stdout
    assert output.count("processor: ") == 1
