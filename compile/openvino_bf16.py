"""OpenVINO with matrix products and convolutions in bfloat16: faster where the CPU has units for it, and not exact.

The IR on disk is that of the float32 backend, which it shares.
"""

from __future__ import annotations

from torch import nn

from . import openvino
from .cache import PlanCache
from .installed import installed
from .spec import Plan, StageSpec


def unsupported_reasons(spec: StageSpec) -> list[str]:
    """Those of float32, and a CPU that would only emulate bfloat16."""
    reasons = openvino.unsupported_reasons(spec)
    if installed("openvino") is not None and "BF16" not in openvino.capabilities():
        reasons.append(openvino.NO_UNITS)
    return list(dict.fromkeys(reasons))


def make_plan(run: nn.Module, spec: StageSpec, cache: PlanCache) -> Plan:
    """As the float32 backend, computed in bfloat16; inputs and outputs stay what they are."""
    return openvino.make_plan(run, spec, cache, "bf16")
