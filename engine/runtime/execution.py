"""Device, number type and backends of loaded networks: checked before they are loaded, applied after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ...kernels.attention import Attend, find_attention
from ..models.diffusion.attention import set_attention
from ..models.diffusion.stable_diffusion import StableDiffusion
from ..models.layers.kernels import check_kernels, enable_triton
from ..models.layers.products import choose_products
from .backends import choose_backends
from .compiled import eager_parts
from .float32 import exact_float32


@dataclass(frozen=True)
class Execution:
    """Choices that fit each other and this machine. ``automatic`` are the stages whose backend ``auto`` chose."""

    device: torch.device
    dtype: torch.dtype
    backends: dict[str, str]
    automatic: frozenset[str]
    attention: str
    attend: Attend
    kernels: str


def choose_execution(
    device: torch.device, dtype: torch.dtype, backend: str, precision: str, attention: str, kernels: str
) -> Execution:
    """The choices by the names that ``Engine.from_pretrained`` takes; ``ValueError`` (one line) for one that is unknown
    or that this machine cannot serve. On CUDA float32 convolutions no longer use TF32."""
    backends, automatic = choose_backends(backend, device, dtype, precision)
    attend = find_attention(attention, device.type, dtype)
    check_kernels(kernels, {s: name for s, name in backends.items() if s not in automatic}, device.type, dtype)
    exact_float32(device)
    return Execution(device, dtype, backends, automatic, attention, attend, kernels)


def prepare(
    how: Execution, backends: dict[str, str], corrector: StableDiffusion, networks: Sequence[nn.Module]
) -> None:
    """Attention, number type and kernels of the loaded ``networks``, of which the corrector's are some; ``backends``
    are those that the stages will run on. In place, before any plan is made."""
    for network in corrector.denoisers:  # no plan has taken its place yet
        set_attention(network, how.attend)
    packable = eager_parts(corrector, backends)
    choose_products(how.device, how.dtype, [*networks, corrector.text_encoder], packable)
    if how.kernels == "triton":
        enable_triton(*networks)
