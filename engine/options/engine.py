"""Which models are loaded, and where and how they compute."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, get_args

from ..utils.field_types import check_types
from .lora import Lora

Dtype = Literal["float32", "bfloat16", "float16", "float64"]
DTYPES: tuple[str, ...] = get_args(Dtype)
Attention = Literal["sdpa", "xformers"]
ATTENTIONS: tuple[str, ...] = get_args(Attention)
Kernels = Literal["torch", "triton"]
KERNELS: tuple[str, ...] = get_args(Kernels)
Precision = Literal["exact", "bf16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
BACKEND_VARIABLE = "ACDC_BACKEND"
Quantization = Literal["none", "int8", "fp8"]
QUANTIZATIONS: tuple[str, ...] = get_args(Quantization)


def default_backend() -> str:
    """The backend where none is given: the environment's, or else ``auto``."""
    return os.environ.get(BACKEND_VARIABLE) or "auto"


@dataclass(frozen=True)
class EngineOptions:
    """The arguments of ``Engine.from_pretrained``, which says what they mean, and ``threads``: the number of CPU
    threads (None: torch's choice).

    This class checks names. The engine checks what needs torch: devices, and which backend serves which stage there.
    """

    bundle: str = "storyworld"
    models: str | None = None
    random_weights: bool = False
    device: str = "cpu"
    dtype: Dtype = "float32"
    backend: str | None = None
    precision: Precision = "exact"
    attention: Attention = "sdpa"
    kernels: Kernels = "torch"
    quantization: Quantization = "none"
    loras: tuple[Lora, ...] = ()
    controlnet: str | None = None
    depth_model: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        check_types(self)
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads {self.threads} is too small; choose 1 or more")
