"""Adjust the choice of ``auto``, by device and number type, once the models are known."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import nn

from ...compile.auto import MIN_FRAMES, MOST_BYTES
from ..models.layers.kernels import SUPPORTS_CUSTOM_OPS
from ..models.model_set import Models
from .backends import TAKE_IDS


def settled(
    backends: dict[str, str],
    automatic: Collection[str],
    models: Models,
    kernels: str,
    quantization: str,
    num_frames: int | None,
) -> dict[str, str]:
    """``backends`` with those of the ``automatic`` stages eager that no plan can serve, or where none pays: the stage
    is too large, or the run of ``num_frames`` (None: unknown) too short."""
    if num_frames is not None and num_frames < MIN_FRAMES:
        return backends | dict.fromkeys(automatic, "eager")

    arm_stages = models.arm.stages()

    def stays_eager(stage: str) -> bool:
        own_operators = kernels != "torch" or (stage in arm_stages and bool(arm_stages[stage].why_eager))
        if own_operators and backends[stage] not in SUPPORTS_CUSTOM_OPS:
            return True
        quantized = stage in TAKE_IDS and quantization != "none"
        return quantized or num_bytes(module_of(models, stage)) > MOST_BYTES

    return backends | {stage: "eager" for stage in automatic if stays_eager(stage)}


def module_of(models: Models, stage: str) -> Any:
    """The module with the weights of ``stage``."""
    tokenizer: Any = models.tokenizer
    corrector: Any = models.corrector
    modules = {
        "arm_prefill": models.arm.model,
        "arm_draw": models.arm.model,
        "tokenizer_decoder": tokenizer.decoder,
        "tokenizer_encoder": tokenizer.encoder,
        "text_encoder": corrector.text_encoder.encoder,
        "vae_decoder": corrector.vae.decoder,
        "vae_encoder": corrector.vae.encoder,
        "unet": corrector.unet,
    }
    return modules[stage]


def num_bytes(module: nn.Module) -> int:
    """Bytes of the weights."""
    return sum(weight.numel() * weight.element_size() for weight in module.parameters())
