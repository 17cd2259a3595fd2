"""The table of backends, and the one way to a plan.

Each module of the table, or the object of it that is named after a colon, has ``unsupported_reasons(spec)`` (empty = it
can serve) and ``make_plan(run, spec, cache) -> Plan``; it is imported when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from torch import nn

from .cache import PlanCache

if TYPE_CHECKING:
    from .spec import Plan, StageSpec

BACKENDS = {  # name: (module, what it is)
    "eager": ("eager", "plain PyTorch, the reference"),
    "openvino": ("openvino", "OpenVINO on the CPU, float32 exact to rounding"),
    "openvino-bf16": ("openvino_bf16", "OpenVINO on a CPU with bfloat16 units, not exact"),
    "openvino-int8": ("openvino_int8", "OpenVINO on the CPU, the UNet in int8 by NNCF, lossy"),
    "inductor": ("inductor", "AOTInductor, compiled ahead of time to shared libraries on disk"),
    "inductor-jit": ("inductor_jit", "torch.compile, compiled again in every process"),
    "cudagraph": ("cudagraph", "CUDA graphs of plain PyTorch's kernels, one a shape"),
    "tensorrt": ("tensorrt:TENSORRT", "TensorRT, built for the NVIDIA GPU at hand"),
    "tensorrt-rtx": ("tensorrt:TENSORRT_RTX", "TensorRT for RTX, built on any machine for RTX GPUs"),
}


def unsupported_reasons(spec: StageSpec, backend: str) -> list[str]:
    """Why ``backend`` cannot serve ``spec``: all reasons, or none. ``ValueError`` for an unknown backend."""
    return list(_module(backend).unsupported_reasons(spec))


def compile_stage(run: nn.Module, spec: StageSpec, backend: str, cache: PlanCache) -> Plan:
    """A plan with ``run``'s signature for exactly the shapes of ``spec``.

    Raises ``ValueError`` (one line with every reason) where the backend cannot serve, and its subclass ``PlanRefused``
    where its compiler ends badly; nothing falls back unasked.
    """
    reasons = unsupported_reasons(spec, backend)
    if reasons:
        raise ValueError(f"backend {backend!r} cannot run {spec}: {'; '.join(reasons)}")
    with cache.reported(str(spec)):
        plan: Plan = _module(backend).make_plan(run, spec, cache)
    return plan


def _module(backend: str) -> Any:
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; choose among {', '.join(BACKENDS)}")
    name, _, part = BACKENDS[backend][0].partition(":")
    module = import_module(f".{name}", __package__)
    return getattr(module, part) if part else module
