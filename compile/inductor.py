"""AOTInductor: a stage exported by torch.export, compiled to a shared library, kept on disk as a package.

Whoever can write a package decides what runs when it is loaded, as with any shared library. So packages are read from
the plan cache alone: its folder belongs to the user, an entry is found by the hash of what it was made of, and its
files are compared with the digests in its manifest before each load. Nothing is unpickled: torch's loader would do so
with an exported program in the archive, and ours holds the library, its sources and JSON only.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .cache import PlanCache
from .key import plan_key
from .spec import Plan, StageSpec

FILE = "plan.pt2"
MAKER = "1"  # counts up when this module makes another package of the same stage
DEVICES = ("cpu", "cuda")


def unsupported_reasons(spec: StageSpec) -> list[str]:
    """Another device, no C++ compiler, no GPU, no Triton."""
    reasons = []
    if spec.device not in DEVICES:
        reasons.append(f"it runs on {' and '.join(DEVICES)}, not on {spec.device}")
    if shutil.which(compiler()) is None:
        reasons.append(f"it needs a C++ compiler and finds no {compiler()!r}: install g++, or name another one in CXX")
    if spec.device == "cuda" and not torch.cuda.is_available():
        reasons.append("torch sees no CUDA device")
    if spec.device == "cuda" and find_spec("triton") is None:
        reasons.append("triton is not installed: pip install triton")
    return reasons


def compiler() -> str:
    """The C++ compiler that Inductor calls."""
    return os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")


def make_plan(run: nn.Module, spec: StageSpec, cache: PlanCache) -> Plan:
    """Compile ``run`` for the shapes of ``spec``, for this processor and for as many threads as torch has now."""
    key = plan_key(run, spec, "inductor", f"{MAKER}|{machine(spec.device)}")
    return InductorPlan(cache.entry(key, str(spec), lambda folder: save_package(run, spec, folder)) / FILE, spec)


def machine(device: str) -> str:
    """Conditions that the compiled code depends on: the GPU, the processor's instructions, the number of threads."""
    capabilities = getattr(torch.cpu, "get_capabilities", torch.backends.cpu.get_cpu_capability)()
    here = f"{capabilities}|{torch.get_num_threads()} threads"
    return f"{here}|{torch.cuda.get_device_properties()}" if device == "cuda" else here


def save_package(run: nn.Module, spec: StageSpec, folder: Path) -> None:
    """Write the package of ``run`` with its weights into ``folder``."""
    options: dict[str, Any] = {"aot_inductor.precompile_headers": False}  # for one package it costs more than it saves
    if spec.device == "cpu":
        options["compile_threads"] = 1  # other processes have nothing to compile without Triton kernels
    with torch.inference_mode(False), torch.no_grad(), private_caches(folder.parent), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.export.export(run, spec.examples())
        torch._inductor.aoti_compile_and_package(program, package_path=str(folder / FILE), inductor_configs=options)


@contextmanager
def private_caches(root: Path) -> Iterator[None]:
    """Inductor's own caches in a folder that is gone afterwards: the default, shared by all processes, is pickled."""
    from torch._inductor.utils import fresh_cache

    with tempfile.TemporaryDirectory(prefix=".inductor.", dir=root) as folder, fresh_cache(dir=folder):
        yield


class InductorPlan:
    """A loaded package; tensors in, new tensors out."""

    def __init__(self, path: Path, spec: StageSpec) -> None:
        self.spec, self.loader = spec, torch._inductor.aoti_load_package(str(path)).loader

    def __call__(self, *inputs: Tensor) -> Any:
        """The stage's result: a tensor, or a tuple of them."""
        assert StageSpec.of(self.spec.name, inputs) == self.spec, "compiled code checks no shape"
        outputs = self.loader.boxed_run([value.contiguous() for value in inputs])
        return outputs[0] if len(outputs) == 1 else tuple(outputs)
