"""The key of a plan: it changes with everything that decides the plan, so no stale one is ever found."""

from __future__ import annotations

import hashlib
import inspect
import sys
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .spec import StageSpec


def plan_key(run: nn.Module, spec: StageSpec, backend: str, version: str) -> str:
    """32 hex digits of everything that decides a plan: weights, the modules' code and settings, shapes, versions."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{spec}|{backend}|{version}|{torch.__version__}|{sys.platform}".encode())
    kinds = {kind for module in run.modules() for kind in type(module).__mro__ if kind.__module__ != "builtins"}
    for path in sorted({inspect.getfile(kind) for kind in kinds}):  # a base's code decides as well
        digest.update(Path(path).read_bytes())
    for name, module in run.named_modules():
        digest.update(f"{name} {type(module).__qualname__} {settings(module)}".encode())
    for name, value in (*run.named_parameters(), *run.named_buffers()):  # also buffers that no checkpoint holds
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def settings(module: nn.Module) -> str:
    """Values that a module computes with besides its tensors: strides, eps, numbers of heads, a schedule, functions."""
    own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return repr(sorted((name, _plain(value)) for name, value in own.items() if _decides(value)))


def _decides(value: Any) -> bool:
    return is_dataclass(value) or callable(value) or isinstance(value, bool | int | float | str | tuple | None)


def _plain(value: Any) -> str:
    """Without the address that Python prints for functions."""
    return str(getattr(value, "__qualname__", None) or value)
