"""Every kernel compiles for GPUs that are not here, at the published systems' sizes, and spills nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from acdc.bench.kernel_builds import CAPABILITIES, SHARED_KIB

pytestmark = pytest.mark.toolchain
KERNELS = Path(__file__).parents[2] / "kernels"
NO_KERNEL = {"__init__", "attention", "jit"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Compiled in a process of its own, since kernels are interpreted in this one."""
    folder = tmp_path_factory.mktemp("builds")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(folder / "cache")
    command = [sys.executable, "-m", "acdc.bench.kernel_builds", "--few", "--out", str(folder / "builds.json")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=KERNELS.parents[1], check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "builds.json").read_text())["rows"]


def test_every_kernel_is_compiled(rows):
    every = {path.stem for path in KERNELS.glob("*.py")} - NO_KERNEL
    for capability in CAPABILITIES:
        assert {row["kernel"] for row in rows if row["capability"] == capability} == every


def test_nothing_is_spilled_and_a_program_fits(rows):
    for row in rows:
        assert row["stack_bytes"] == 0, row
        assert row["registers"] * 32 * row["num_warps"] <= 65536, row
        assert row["shared_bytes"] <= SHARED_KIB[row["capability"]] * 1024, row


def test_products_run_on_tensor_cores(rows):
    """Attention and skinny products in two bytes: Hopper's own instruction is left to Triton's choice."""
    for row in rows:
        if row["kernel"] == "decode_attention" and "*bf16" in row["build"] and "QUERIES" in row["build"]:
            assert row["tensor_cores"], row


def test_interpreted_kernels_are_not_compiled():
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "acdc.bench.kernel_builds"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=KERNELS.parents[1], check=False)
    assert done.returncode == 1
    assert "unset it to compile them" in done.stderr
