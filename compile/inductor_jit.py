"""torch.compile: the stage is compiled again in every process; no plan is kept on disk.

Torch keeps precompiled headers in its own temporary folder, which spare each kernel some seconds.
"""

from __future__ import annotations

import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import inductor
from .cache import PlanCache
from .spec import Plan, StageSpec


def unsupported_reasons(spec: StageSpec) -> list[str]:
    """Those of AOTInductor; and no headers of Python, which the compiled kernels include."""
    reasons = inductor.unsupported_reasons(spec)
    headers = Path(sysconfig.get_paths()["include"])
    if not (headers / "Python.h").is_file():
        reasons.append(f"it needs Python's headers and finds no Python.h in {headers}: install python3-dev")
    return reasons


def make_plan(run: nn.Module, spec: StageSpec, cache: PlanCache) -> Plan:
    """Compile ``run`` for the shapes of ``spec`` now, not at the first call."""

    def call(*inputs: Tensor) -> Any:
        return run(*inputs)

    # Dynamo counts what it compiled of one code object, and would refuse the ninth shape of a stage.
    call.__code__ = call.__code__.replace()
    compiled = torch.compile(call, fullgraph=True, dynamic=False)

    @torch.inference_mode()
    def plan(*inputs: Tensor) -> Any:
        return compiled(*inputs)

    with inductor.private_caches(Path(tempfile.gettempdir())):
        plan(*spec.examples())
    return plan
