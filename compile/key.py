"""The key of a plan: it changes with everything that decides the plan, so no stale one is ever found."""

from __future__ import annotations

import hashlib
import inspect
import sys
from pathlib import Path

import torch
from torch import nn

from .spec import StageSpec


def plan_key(run: nn.Module, spec: StageSpec, backend: str, version: str) -> str:
    """32 hex digits of everything that decides a plan: weights, the modules' code, shapes, backend, versions."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{spec}|{backend}|{version}|{torch.__version__}|{sys.platform}".encode())
    for path in sorted({inspect.getfile(type(module)) for module in run.modules()}):
        digest.update(Path(path).read_bytes())
    digest.update(repr([(name, type(module).__qualname__) for name, module in run.named_modules()]).encode())
    for name, value in (*run.named_parameters(), *run.named_buffers()):  # also buffers that no checkpoint holds
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
