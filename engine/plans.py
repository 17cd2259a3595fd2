"""Stages of the loaded models, run by the backends that the user chose.

A planned module stands in for the module that it wraps, with the same signature; each shape is compiled at its first
use. The models themselves know no backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..compile.auto import choose
from ..compile.backends import BACKENDS, compile_stage, unsupported_reasons
from ..compile.cache import PlanCache
from ..compile.spec import Plan, StageSpec, TensorSpec
from .bundle import Models
from .kv_cache import KVCache
from .models.arm.lwm import LWM
from .models.corrector.attention import KV
from .models.corrector.unet import UNet
from .stages.decode import DecodeStep

STAGES = ("arm_decode", "tokenizer_decoder", "tokenizer_encoder", "text_encoder", "vae_decoder", "vae_encoder", "unet")


def parse_backends(text: str, device: torch.device, dtype: torch.dtype) -> dict[str, str]:
    """``NAME`` for all stages, or ``stage=NAME,...`` with the others eager: stage -> backend.

    ``auto`` becomes the fastest exact backend that can serve the stage on this device and with this dtype.
    ``ValueError`` names the stage or backend that is unknown.
    """
    chosen = dict.fromkeys(STAGES, "eager")
    if "=" not in text:
        return {stage: _resolved(stage, text, device, dtype) for stage in STAGES}
    for part in text.split(","):
        stage, _, backend = part.partition("=")
        if stage not in chosen:
            raise ValueError(f"unknown stage {stage!r} in backend {text!r}; choose among {', '.join(STAGES)}")
        chosen[stage] = _resolved(stage, backend, device, dtype)
    return chosen


def _resolved(stage: str, backend: str, device: torch.device, dtype: torch.dtype) -> str:
    if backend == "auto":
        return choose(probe(stage, device, dtype))
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; choose among auto, {', '.join(BACKENDS)}")
    return backend


def describe(backends: dict[str, str]) -> str:
    """The shortest text that :func:`parse_backends` reads as ``backends``."""
    names = set(backends.values())
    if len(names) == 1:
        return names.pop()
    return ",".join(f"{stage}={backend}" for stage, backend in backends.items() if backend != "eager")


def probe(stage: str, device: torch.device, dtype: torch.dtype) -> StageSpec:
    """A spec that stands for all shapes of a stage, to ask a backend about."""
    codes = (TensorSpec((1,), torch.int64),) if stage == "arm_decode" else ()
    return StageSpec(stage, (*codes, TensorSpec((1,), dtype)), device.type)


def refusals(device: torch.device, dtype: torch.dtype = torch.float32) -> dict[str, dict[str, list[str]]]:
    """Backend -> stage -> every reason why that backend cannot serve that stage there; no reason: it can."""
    return {
        name: {stage: unsupported_reasons(probe(stage, device, dtype), name) for stage in STAGES} for name in BACKENDS
    }


class PlannedModule(nn.Module):
    """``run`` with each shape of its inputs as a plan; signature, weights and attributes of ``run``."""

    def __init__(self, run: nn.Module, stage: str, backend: str, cache: PlanCache) -> None:
        super().__init__()
        self.run, self.stage, self.backend, self.cache = run, stage, backend, cache
        self.plans: dict[StageSpec, Plan] = {}

    def forward(self, *inputs: Tensor) -> Any:
        """What ``run`` returns. ``ValueError`` at a shape's first use if the backend cannot serve it."""
        spec = StageSpec.of(self.stage, inputs)
        if spec not in self.plans:
            self.plans[spec] = compile_stage(self.run, spec, self.backend, self.cache)
        return self.plans[spec](*inputs)


class UNetPass(nn.Module):
    """A UNet's pass over plain tensors: keys and values of the prompt follow one another, as traced graphs need it."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, latents: Tensor, temb: Tensor, *kv: Tensor) -> Tensor:
        """``latents`` [B, C, h, w], ``temb`` [B or 1, E], then key, value, key, value, ..."""
        prediction: Tensor = self.unet(latents, temb, list(zip(kv[::2], kv[1::2], strict=True)))
        return prediction


class PlannedUNet(nn.Module):
    """A UNet whose passes are plans; what is computed once (time embedding, keys and values) stays the UNet's own."""

    def __init__(self, unet: UNet, backend: str, cache: PlanCache) -> None:
        super().__init__()
        self.config, self.time_embedding = unet.config, unet.time_embedding
        self.unet, self.step = unet, PlannedModule(UNetPass(unet), "unet", backend, cache)

    def context_kv(self, context: Tensor) -> list[KV]:
        """As :meth:`UNet.context_kv`, in memory order."""
        return [(keys.contiguous(), values.contiguous()) for keys, values in self.unet.context_kv(context)]

    def forward(self, latents: Tensor, temb: Tensor, kv: Sequence[KV]) -> Tensor:
        """``latents`` [B, C, h, w], ``temb`` [B or 1, E], the list from :meth:`context_kv` -> [B, C, h, w]."""
        prediction: Tensor = self.step(latents, temb, *(value for pair in kv for value in pair))
        return prediction


class PlannedDecode:
    """The ARM's decoding step as a plan, with the signature of ``Arm.decode``."""

    def __init__(self, model: LWM, backend: str, cache: PlanCache) -> None:
        self.step = PlannedModule(DecodeStep(model), "arm_decode", backend, cache)

    def __call__(self, codes: Tensor, cache: KVCache) -> Tensor:
        """``codes`` [R] -> hidden [R, D]; the cache grows by one slot a row."""
        hidden, keys, values = self.step(codes, cache.lengths, cache.keys, cache.values)
        cache.put(keys, values)
        return hidden


def planned(models: Models, backends: dict[str, str], cache: PlanCache) -> Models:
    """The models with each stage on its backend; all but the UNet are changed in place (one engine owns them)."""

    def stand_in(run: nn.Module, stage: str) -> Any:
        backend = backends[stage]
        return run if backend == "eager" else PlannedModule(run, stage, backend, cache)

    arm, tokenizer, corrector = models
    if backends["arm_decode"] != "eager":
        arm.decode = PlannedDecode(arm.model, backends["arm_decode"], cache)
    tokenizer.encoder = stand_in(tokenizer.encoder, "tokenizer_encoder")
    tokenizer.decoder = stand_in(tokenizer.decoder, "tokenizer_decoder")
    corrector.text_encoder.encoder = stand_in(corrector.text_encoder.encoder, "text_encoder")
    corrector.vae.encoder = stand_in(corrector.vae.encoder, "vae_encoder")
    corrector.vae.decoder = stand_in(corrector.vae.decoder, "vae_decoder")
    if backends["unet"] != "eager":
        assert isinstance(corrector.unet, UNet), "planned once"
        corrector = replace(corrector, unet=PlannedUNet(corrector.unet, backends["unet"], cache))
    return Models(arm, tokenizer, corrector)
