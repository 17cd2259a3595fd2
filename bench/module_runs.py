"""The growth of a counter in each run of a module: the clock's seconds, or operations."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class Runs:
    """From now on, what ``count`` grows by in each run of ``module``; by default seconds, for which a GPU is waited."""

    def __init__(self, module: nn.Module, count: Callable[[], float] | None = None) -> None:
        self.amounts: list[float] = []
        self._count, self._before = count or now, 0.0
        self._hooks = module.register_forward_pre_hook(self._begin), module.register_forward_hook(self._end)

    def remove(self) -> None:
        """Later runs do not count."""
        for hook in self._hooks:
            hook.remove()

    def _begin(self, *_: Any) -> None:
        self._before = self._count()

    def _end(self, *_: Any) -> None:
        self.amounts.append(self._count() - self._before)


def now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
