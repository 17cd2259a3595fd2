"""Signature of a stage: its name, and the shape and dtype of every tensor it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

Plan = Callable[..., Any]  # called like the module it was made of


class TensorSpec(NamedTuple):
    """One input; every axis is static, so a plan serves one shape."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape))} {str(self.dtype).removeprefix('torch.')}"


@dataclass(frozen=True)
class StageSpec:
    """A stage at one set of shapes. ``str(spec)`` reads ``vae_decoder(2x4x16x16 float32) on cpu``."""

    name: str
    inputs: tuple[TensorSpec, ...]
    device: str = "cpu"

    @classmethod
    def of(cls, name: str, inputs: Sequence[Tensor]) -> StageSpec:
        """The spec that these tensors fit."""
        assert inputs, "a stage takes tensors"
        specs = tuple(TensorSpec(tuple(value.shape), value.dtype) for value in inputs)
        return cls(name, specs, inputs[0].device.type)

    def examples(self) -> tuple[Tensor, ...]:
        """Inputs of these shapes, zeros: for tracing."""
        return tuple(torch.zeros(spec.shape, dtype=spec.dtype, device=self.device) for spec in self.inputs)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.inputs))}) on {self.device}"
