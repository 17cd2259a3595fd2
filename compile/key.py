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

PACKAGE = Path(__file__).parents[1]


def plan_key(run: nn.Module, spec: StageSpec, backend: str, version: str) -> str:
    """32 hex digits of everything that decides a plan: weights, the modules' code and settings, shapes, versions."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{spec}|{backend}|{version}|{torch.__version__}|{sys.platform}".encode())
    for path in sources(run):
        digest.update(path.read_bytes())
    for name, module in run.named_modules():
        digest.update(f"{name} {type(module).__qualname__} {settings(module)}".encode())
    for name, value in (*run.named_parameters(), *run.named_buffers()):  # also buffers that no checkpoint holds
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def sources(run: nn.Module) -> list[Path]:
    """The files whose code decides what ``run`` computes, sorted: those of its modules' classes and of their bases,
    and, since these call functions of their neighbours, all of the package's folders that they lie in and its kernels.
    torch's are left out: its version is a part of the key."""
    kinds = {kind for module in run.modules() for kind in type(module).__mro__}
    ours = {kind for kind in kinds if kind.__module__.partition(".")[0] not in {"builtins", "torch", "abc", "typing"}}
    files = {Path(inspect.getfile(kind)) for kind in ours}
    folders = {PACKAGE.joinpath(*file.relative_to(PACKAGE).parts[:2]) for file in files if PACKAGE in file.parents}
    return sorted(files.union(*(folder.rglob("*.py") for folder in (PACKAGE / "kernels", *folders))))


def settings(module: nn.Module) -> str:
    """Values that a module computes with besides its tensors: strides, eps, numbers of heads, a schedule, functions."""
    own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return repr(sorted((name, _plain(value)) for name, value in own.items() if _decides(value)))


def _decides(value: Any) -> bool:
    return is_dataclass(value) or callable(value) or isinstance(value, bool | int | float | str | tuple | None)


def _plain(value: Any) -> str:
    """Without the address that Python prints for functions."""
    return str(getattr(value, "__qualname__", None) or value)
