"""Triton where it is installed, and what decides whether a kernel of ours may run.

A module of ``kernels/`` can be imported, and its plain PyTorch reference run, without Triton: then ``jit`` leaves a
function as it is, and nothing calls it. ``TRITON_INTERPRET=1``, set before Triton is imported, interprets kernels on
CPU tensors, slowly and for tests; it makes bfloat16 of float32 by cutting off, where a GPU rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

try:
    import triton
    import triton.language as tl
except ImportError:  # no wheel for this platform, or not asked for
    triton = tl = None

FLOATS = (torch.float32, torch.bfloat16, torch.float16)


class Build(NamedTuple):
    """One specialisation of a kernel to be compiled ahead, where its registers and spills are looked at.

    ``signature`` names the type of every argument that is not constant ("*bf16", "i32", "fp32"), ``constants`` the
    values of the others; ``since`` is the first compute capability that has what it needs.
    """

    kernel: Any
    signature: Mapping[str, str]
    constants: Mapping[str, Any] = MappingProxyType({})
    num_warps: int = 4
    num_stages: int = 3
    fp_fusion: bool = True
    since: int = 80


def jit(function: Callable[..., Any]) -> Any:
    """``triton.jit``, or the function itself where Triton is missing."""
    return function if triton is None else triton.jit(function)


def interpreted() -> bool:
    """Are kernels interpreted on the CPU in this process?"""
    return triton is not None and bool(triton.knobs.runtime.interpret)


def on_triton(value: torch.Tensor) -> bool:
    """Does a kernel of ours serve this tensor? Elsewhere its reference does."""
    return triton is not None and (value.is_cuda or interpreted())


def unsupported_reasons(device: str, dtype: torch.dtype, dtypes: tuple[torch.dtype, ...] = FLOATS) -> list[str]:
    """Why kernels of ours cannot serve tensors of that device and type: all reasons, or none."""
    reasons = []
    if triton is None:
        reasons.append("triton is not installed: pip install 'acdc-engine[triton]'")
    if device != "cuda" and not interpreted():
        reasons.append(f"they run on cuda, not on {device} (TRITON_INTERPRET=1 interprets them there, slowly)")
    if dtype not in dtypes:
        names = ", ".join(str(kind).removeprefix("torch.") for kind in dtypes)
        reasons.append(f"they take {names}, not {str(dtype).removeprefix('torch.')}")
    return reasons


def next_power_of_2(value: int) -> int:
    """The smallest power of two that is not below ``value`` (at least 1): the width of a block that holds it."""
    return 1 << max(0, value - 1).bit_length()
