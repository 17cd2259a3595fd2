"""Triton is imported by the first kernel that is used, and by nothing else."""

import os
import subprocess
import sys

import pytest
import torch

IMPORTED = "import sys; print(sorted({name.partition('.')[0] for name in sys.modules} & {'triton', 'openvino'}))\n"
ALL_KERNELS = """
import importlib, pkgutil
import acdc.engine.engine
from acdc import kernels
for module in pkgutil.iter_modules(kernels.__path__):
    importlib.import_module(f"acdc.kernels.{module.name}")
"""
A_REFERENCE = """
import torch
from acdc.kernels.rms_norm import rms_norm
rms_norm(torch.ones(2, 4), torch.ones(4), 1e-6)
"""
A_KERNEL = A_REFERENCE + "assert torch.equal(rms_norm(torch.ones(2, 4), torch.ones(4), 0.0), torch.ones(2, 4))\n"
INTERPRETED = "import os; os.environ['TRITON_INTERPRET'] = '1'\n"
A_PLAIN_ONE = """
import torch
from acdc.kernels.jit import on_triton
from acdc.kernels.rms_norm import rms_norm_reference
assert not on_triton(rms_norm_reference(torch.ones(2, 4), torch.ones(4), 1e-6))
"""
A_CHOICE = """
import torch
from acdc.engine.models.layers.kernels import check_kernels
check_kernels("torch", {"unet": "eager"}, "cpu", torch.float32)
"""


def python(code, **extra):
    """Output of ``code`` in a process of its own, whose kernels are interpreted only where ``extra`` says so."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"} | extra
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.long
def test_a_kernel_imports_it_and_nothing_before():
    """Neither the engine nor all kernels' files nor a reference does: one process, a line of output after each."""
    cuda = torch.cuda.is_available()  # there the kernel runs in place of the reference
    before = [ALL_KERNELS] if cuda else [ALL_KERNELS, A_PLAIN_ONE, A_CHOICE]
    last = A_KERNEL if cuda else INTERPRETED + A_KERNEL
    found = python(IMPORTED.join([*before, last, ""])).splitlines()
    assert found == [*("[]" for _ in before), "['triton']"]


@pytest.mark.long
def test_without_triton_the_reference_serves():
    blocked = "import sys\nsys.modules['triton'] = None\n"
    code = blocked + A_REFERENCE + "from acdc.kernels.jit import installed, on_triton\n"
    assert python(code + "print(installed(), on_triton(torch.ones(1)))", TRITON_INTERPRET="1") == "False False"
