"""One call of a stage in plain PyTorch, which every translation of the stage must repeat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .spec import StageSpec

SEED = 0
SMALLEST = 1e-12  # below it a norm counts as this one


class Proof:
    """Inputs of the shapes of ``spec`` and what ``run`` makes of them; nothing is computed before it is asked for.

    Floats are normals, bits are random, and ids, counts and lengths are 2: no tracer's example has such numbers.
    """

    def __init__(self, run: nn.Module, spec: StageSpec) -> None:
        self.run, self.spec = run, spec

    @cached_property
    def inputs(self) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(SEED)

        def drawn(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
            if dtype == torch.bool:
                return torch.rand(shape, generator=generator) < 0.5
            if not dtype.is_floating_point:
                return torch.full(shape, 2, dtype=dtype)
            return torch.randn(shape, generator=generator).to(dtype)

        return tuple(drawn(given.shape, given.dtype).to(self.spec.device) for given in self.spec.inputs)

    @property
    def outputs(self) -> list[Tensor]:
        """The stage's result."""
        return self._called[0]

    @property
    def reads_numbers(self) -> bool:
        """Does the stage hand a tensor's number to Python, where it may decide what comes next?"""
        return self._called[1]

    def equals(self, call: Callable[..., Any]) -> bool:
        """Does ``call`` return the same bits?"""
        found = tree_leaves(call(*self.inputs))
        return len(found) == len(self.outputs) and all(map(_equal, found, self.outputs))

    def deviation(self, call: Callable[..., Any]) -> tuple[float, float]:
        """Largest deviation of ``call``: for floats the error's norm by the result's, of integers the share that
        differs. Results that are not finite are not compared, nor integers next to them, which may be made of them;
        another number of results, or other shapes: infinity."""
        found = tree_leaves(call(*self.inputs))
        if [value.shape for value in found] != [value.shape for value in self.outputs]:
            return float("inf"), float("inf")
        errors, shares = [0.0], [0.0]
        finite = all(bool(value.isfinite().all()) for value in self.outputs if value.is_floating_point())
        for one, other in zip(found, self.outputs, strict=True):
            if not other.is_floating_point() and finite:
                shares.append((one != other).double().mean().item())
            elif other.is_floating_point() and bool(other.isfinite().all()):
                wanted = other.double()
                error = ((one.double() - wanted).norm() / wanted.norm().clamp(min=SMALLEST)).item()
                errors.append(float("inf") if error != error else error)  # max() passes NaN over
        return max(errors), max(shares)

    @cached_property
    def _called(self) -> tuple[list[Tensor], bool]:
        with torch.no_grad(), _HostReads() as reads:
            outputs = tree_leaves(self.run(*self.inputs))
        return outputs, reads.found


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one.nan_to_num(), other.nan_to_num()) and torch.equal(one.isnan(), other.isnan())


class _HostReads(TorchDispatchMode):
    """Notes whether an operator within hands a tensor's number to Python."""

    found = False

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self.found |= torch.Tag.data_dependent_output in getattr(func, "tags", ())
        return func(*args, **(kwargs or {}))
