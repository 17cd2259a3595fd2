"""Triton where it is installed and a kernel is used, and the check whether our Triton kernels may run.

A module of ``kernels/`` can be imported, and its plain PyTorch reference run, without Triton. Importing Triton takes a
third of a second, so that waits for the first kernel that runs or is compiled. ``TRITON_INTERPRET=1``, set before
that, interprets kernels on CPU tensors, slowly and for tests; it makes bfloat16 of float32 by cutting off, where a GPU
rounds.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

FLOATS = (torch.float32, torch.bfloat16, torch.float16)


class Build(NamedTuple):
    """One specialisation of a kernel to be compiled ahead, where its registers and spills are looked at.

    ``signature`` names the type of every argument that is not constant ("*bf16", "i32", "fp32"), ``constants`` the
    values of the others; ``since`` is the first compute capability that has what it needs.
    """

    kernel: Kernel
    signature: Mapping[str, str]
    constants: Mapping[str, Any] = MappingProxyType({})
    num_warps: int = 4
    num_stages: int = 3
    fp_fusion: bool = True
    since: int = 80


class _Language:
    """``triton.language`` until the first kernel is made, which puts the real one into its module's ``tl``."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("triton.language"), name)


tl: Any = _Language()


class Kernel:
    """A function in Triton's language; called as ``kernel[grid](...)``, where Triton takes it over."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self._made = function, None

    def __getitem__(self, grid: Any) -> Any:
        return self.made[grid]

    @property
    def made(self) -> Any:
        """Triton's own object for it. Triton reads names from the function's module, so they are real from now on."""
        if self._made is None:
            self._made = import_module("triton").jit(self.function)
            names = self.function.__globals__
            found = {name: value.made for name, value in names.items() if isinstance(value, Kernel)}
            names.update(found, tl=import_module("triton.language"))
        return self._made


def jit(function: Callable[..., Any]) -> Any:
    """``function`` as a kernel, or as a part of kernels."""
    return Kernel(function)


@functools.cache
def installed() -> bool:
    """Is Triton at hand? There are platforms without a wheel of it."""
    return find_spec("triton") is not None


def interpreted() -> bool:
    """Are kernels interpreted on the CPU in this process?"""
    if "triton" not in sys.modules and not os.environ.get("TRITON_INTERPRET"):
        return False  # there is nothing to import it for
    return installed() and bool(import_module("triton").knobs.runtime.interpret)


def on_triton(value: torch.Tensor) -> bool:
    """Does a Triton kernel serve this tensor? Otherwise its reference does."""
    return installed() and (value.is_cuda or interpreted())


def unsupported_reasons(device: str, dtype: torch.dtype, dtypes: tuple[torch.dtype, ...] = FLOATS) -> list[str]:
    """Why our Triton kernels cannot serve tensors of that device and type: all reasons, or none."""
    reasons = []
    if not installed():
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
