"""Adjust the choice of ``auto``, by device and number type, once the models are known."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import nn

from ...compile.auto import MIN_FRAMES, MOST_BYTES
from ..models.diffusion.stable_diffusion import StableDiffusion
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
    custom = {stage for stage, needs in models.arm.stages().items() if needs.why_eager}
    quantized = TAKE_IDS if quantization != "none" else ()
    found = settle(backends, automatic, modules_of(models), kernels, num_frames, custom)
    return found | {stage: "eager" for stage in quantized if stage in automatic}


def settle(
    backends: dict[str, str],
    automatic: Collection[str],
    modules: Mapping[str, nn.Module],
    kernels: str,
    num_frames: int | None,
    custom: Collection[str] = (),
) -> dict[str, str]:
    """:func:`settled` for the stages of ``modules``; those in ``custom`` hold operators of their own."""
    if num_frames is not None and num_frames < MIN_FRAMES:
        return backends | dict.fromkeys(automatic, "eager")

    def stays_eager(stage: str, module: nn.Module) -> bool:
        own_operators = kernels != "torch" or stage in custom
        if own_operators and backends[stage] not in SUPPORTS_CUSTOM_OPS:
            return True
        return num_bytes(module) > MOST_BYTES

    return backends | {s: "eager" for s, module in modules.items() if s in automatic and stays_eager(s, module)}


def modules_of(models: Models) -> dict[str, nn.Module]:
    """Stage -> the module with its weights."""
    tokenizer: Any = models.tokenizer
    return {
        "arm_prefill": models.arm.model,
        "arm_draw": models.arm.model,
        "tokenizer_decoder": tokenizer.decoder,
        "tokenizer_encoder": tokenizer.encoder,
        **corrector_modules(models.corrector),
    }


def corrector_modules(corrector: StableDiffusion) -> dict[str, nn.Module]:
    """The same of a corrector's stages."""
    unet = corrector.unet
    assert isinstance(unet, nn.Module), "as loaded"
    return {
        "text_encoder": corrector.text_encoder.encoder,
        "vae_decoder": corrector.vae.decoder,
        "vae_encoder": corrector.vae.encoder,
        "unet": unet,
    }


def num_bytes(module: nn.Module) -> int:
    """Bytes of the weights."""
    return sum(weight.numel() * weight.element_size() for weight in module.parameters())
