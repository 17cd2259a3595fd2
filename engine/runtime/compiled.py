"""Stages of the loaded models as plans of the backends that were chosen.

A planned module replaces the module that it wraps, with the same signature; each shape is compiled at its first
use. The models themselves know no backend.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

from torch import Tensor, nn

from ...compile.backends import compile_stage
from ...compile.builder import PlanRefused
from ...compile.cache import PlanCache
from ...compile.openvino_int8 import Calibration
from ...compile.spec import Plan, StageSpec
from ..models.diffusion.attention import KV
from ..models.diffusion.controlnet import ControlNet
from ..models.diffusion.deepfloyd.unet import IFUNet
from ..models.diffusion.stable_diffusion import StableDiffusion
from ..models.diffusion.unet import UNet
from ..models.interfaces import AutoregressiveModel, Tokenizer
from ..models.layers.kernels import SUPPORTS_CUSTOM_OPS
from ..models.model_set import Models
from ..sdedit.correct import Conditioning
from ..sdedit.correction import Correction
from ..sdedit.fused import WholeCorrection
from .export_lock import EXPORT_LOCK
from .planned_control import STAGE, ControlPass, PlannedControl


class PlannedModule(nn.Module):
    """``run`` with each shape of its inputs as a plan; signature, weights and attributes of ``run``.

    ``others`` are tried, in their order, where the compiler of ``backend`` ends badly; a warning says so once.
    """

    def __init__(self, run: nn.Module, stage: str, backend: str, cache: PlanCache, others: Sequence[str] = ()) -> None:
        super().__init__()
        self.run, self.stage, self.backend, self.cache, self.others = run, stage, backend, cache, others
        self.plans: dict[StageSpec, Plan] = {}

    def forward(self, *inputs: Tensor) -> Any:
        """Result of ``run``. ``ValueError`` at a shape's first use if the backend cannot serve it."""
        spec = StageSpec.of(self.stage, inputs)
        if spec not in self.plans:
            with EXPORT_LOCK.alone():
                self.plans[spec] = self._compile(spec)
        return self.plans[spec](*inputs)

    def _compile(self, spec: StageSpec) -> Plan:
        for backend, other in pairwise((self.backend, *self.others)):
            try:
                return compile_stage(self.run, spec, backend, self.cache)
            except PlanRefused as refused:
                self.cache.warn_once(f"{self.stage} {backend}", f"{refused}; going on with {other}")
        return compile_stage(self.run, spec, (self.backend, *self.others)[-1], self.cache)


class UNetPass(nn.Module):
    """A UNet's pass over plain tensors: keys and values of the prompt follow one another, as traced graphs need it; a
    ControlNet's residuals follow them."""

    def __init__(self, unet: UNet | IFUNet, calibration: Calibration | None = None) -> None:
        super().__init__()
        self.unet, self._calibration = unet, calibration  # private: it decides no plan in floating point
        self.num_kv = 2 * unet.num_contexts

    @property
    def calibration(self) -> Calibration | None:
        """Samples of the inputs, for plans in int8."""
        return self._calibration

    def forward(self, latents: Tensor, shifts: Tensor, *rest: Tensor) -> Tensor:
        """``latents`` [B, C, h, w], ``shifts`` [B or 1, P], then key, value, key, value, ... of n B rows, then the
        residuals where there is a ControlNet."""
        kv, residuals = rest[: self.num_kv], rest[self.num_kv :]
        prediction: Tensor = self.unet(latents, shifts, list(zip(kv[::2], kv[1::2], strict=True)), residuals)
        return prediction


class PlannedUNet(nn.Module):
    """A UNet whose passes are plans; what is computed once (time embedding, keys and values) stays the UNet's own."""

    def __init__(
        self,
        unet: UNet | IFUNet,
        backend: str,
        cache: PlanCache,
        others: Sequence[str] = (),
        calibration: Calibration | None = None,
    ) -> None:
        super().__init__()
        self.config, self.time_shifts, self.use_triton = unet.config, unet.time_shifts, unet.use_triton
        self.unet, self.step = unet, PlannedModule(UNetPass(unet, calibration), "unet", backend, cache, others)

    def context_kv(self, context: Tensor) -> list[KV]:
        """As :meth:`UNet.context_kv`, in memory order."""
        return [(keys.contiguous(), values.contiguous()) for keys, values in self.unet.context_kv(context)]

    def forward(self, latents: Tensor, shifts: Tensor, kv: Sequence[KV], residuals: Sequence[Tensor] = ()) -> Tensor:
        """``latents`` [B, C, h, w], ``shifts`` [1, P], the list from :meth:`context_kv` -> [rows of it, C, h, w]."""
        prediction: Tensor = self.step(latents, shifts, *(value for pair in kv for value in pair), *residuals)
        return prediction


class PlannedCorrection:
    """The whole correction and the encoding after it as one plan for each schedule, guidance and shape."""

    def __init__(
        self,
        corrector: StableDiffusion,
        tokenizer: Tokenizer,
        backend: str,
        cache: PlanCache,
        others: Sequence[str] = (),
    ) -> None:
        self.corrector, self.tokenizer, self.backend, self.cache = corrector, tokenizer, backend, cache
        self.others = others
        self.wholes: dict[tuple[Any, ...], PlannedModule] = {}

    def __call__(
        self,
        correction: Correction,
        pixels: Tensor,
        conditioning: Conditioning,
        seeds: Sequence[int],
        index: int | Sequence[int],
    ) -> tuple[Tensor, Tensor]:
        """As ``correction.run``, with the codes of what is shown: [B, 3, H, W] in [-1, 1] and int64 [B, N]."""
        options = correction.options
        key = (correction.schedule, conditioning.guidance_scale, options.sample_posterior, options.size)
        if key not in self.wholes:
            whole = WholeCorrection(self.corrector, self.tokenizer, *key)
            self.wholes[key] = PlannedModule(whole, "correction", self.backend, self.cache, self.others)
        kv = (value.contiguous() for pair in conditioning.kv for value in pair)
        shown, codes = self.wholes[key](pixels, *correction.noises(pixels, seeds, index), *kv)
        return shown, codes


def compile_models(
    models: Models,
    backends: dict[str, str],
    cache: PlanCache,
    automatic: Collection[str] = (),
    calibration: Calibration | None = None,
) -> Models:
    """Copies of the models with each stage on its backend; weights are shared, plans and their buffers are not.

    So an engine may make one for each slot, and launches on two slots never meet in a buffer. ``automatic`` are the
    stages whose backend ``auto`` chose: they run eagerly where its compiler ends badly. ``calibration`` is for int8.
    """

    stages = Stages(backends, cache, automatic)
    check_arm_stages(models.arm, backends)
    check_whole(models.corrector, backends)
    arm, tokenizer = models.arm.with_stages(stages.compiled, backends), _shallow_copy(models.tokenizer)
    tokenizer.encoder = stages.compiled(tokenizer.encoder, "tokenizer_encoder")
    tokenizer.decoder = stages.compiled(tokenizer.decoder, "tokenizer_decoder")
    corrector = compile_corrector(models.corrector, stages, calibration)
    correction = backends["correction"]
    whole = (
        None
        if correction == "eager"
        else PlannedCorrection(corrector, tokenizer, correction, cache, stages.others("correction"))
    )
    return Models(arm, tokenizer, corrector, whole)


class Stages(NamedTuple):
    """Which backend each stage gets; ``automatic`` are those whose backend ``auto`` chose."""

    backends: Mapping[str, str]
    cache: PlanCache
    automatic: Collection[str] = ()

    def others(self, stage: str) -> Sequence[str]:
        """Backends that are tried where the chosen one's compiler ends badly."""
        return ("eager",) if stage in self.automatic else ()

    def compiled(self, run: nn.Module, stage: str) -> Any:
        """``run`` on the backend of ``stage``."""
        backend = self.backends[stage]
        return run if backend == "eager" else PlannedModule(run, stage, backend, self.cache, self.others(stage))


def compile_corrector(
    corrector: StableDiffusion, stages: Stages, calibration: Calibration | None = None
) -> StableDiffusion:
    """A copy of the corrector with each stage on its backend; weights are shared."""
    vae, text_encoder = _shallow_copy(corrector.vae), _shallow_copy(corrector.text_encoder)
    text_encoder.encoder = stages.compiled(text_encoder.encoder, "text_encoder")
    vae.encoder = stages.compiled(vae.encoder, "vae_encoder")
    vae.decoder = stages.compiled(vae.decoder, "vae_decoder")
    unet, backend = corrector.unet, stages.backends["unet"]
    if backend != "eager":
        assert isinstance(unet, UNet | IFUNet), "planned once"
        unet = PlannedUNet(unet, backend, stages.cache, stages.others("unet"), calibration)
    control = corrector.controlnet
    if control is not None and backend != "eager":
        assert isinstance(control, ControlNet), "planned once"
        step = PlannedModule(ControlPass(control), STAGE, backend, stages.cache, stages.others("unet"))
        control = PlannedControl(control, step)
    first = corrector.stage_one
    first = None if first is None else compile_corrector(first, stages)
    changes = {"unet": unet, "vae": vae, "text_encoder": text_encoder, "controlnet": control, "stage_one": first}
    return replace(corrector, **changes)


def check_whole(corrector: StableDiffusion, backends: Mapping[str, str]) -> None:
    """``ValueError`` for networks that a plan of the whole correction, or one in int8, does not take in."""
    found = "the corrector's UNet is one for inpainting" if corrector.inpaints else "there is a ControlNet"
    if corrector.upscaling is not None:
        found = "the corrector's UNet enlarges a small picture"
    takes_more = corrector.inpaints or corrector.controlnet is not None or corrector.upscaling is not None
    if backends["correction"] != "eager" and takes_more:
        raise ValueError(f"backend correction={backends['correction']} makes one plan, but {found}; choose unet=NAME")
    if backends["unet"] == "openvino-int8" and corrector.upscaling is not None:
        raise ValueError(f"backend unet=openvino-int8 is not fitted where {found}; choose unet=openvino")
    if backends["unet"] == "openvino-int8" and corrector.controlnet is not None:
        raise ValueError("backend unet=openvino-int8 is fitted to passes without a ControlNet; choose unet=openvino")


def check_arm_stages(arm: AutoregressiveModel, backends: Mapping[str, str]) -> None:
    """``ValueError`` for a stage of the ARM on a backend that cannot translate it."""
    for stage, needs in arm.stages().items():
        if needs.why_eager and backends[stage] not in SUPPORTS_CUSTOM_OPS:
            advice = f"choose {stage}={f' or {stage}='.join(SUPPORTS_CUSTOM_OPS)}"
            raise ValueError(f"backend {backends[stage]!r} cannot translate {needs.why_eager}; {advice}")


def eager_parts(corrector: StableDiffusion, backends: dict[str, str]) -> list[nn.Module]:
    """The parts of the corrector that run as plain PyTorch; plans need the weights of theirs as they are."""
    if backends["correction"] != "eager":
        return []
    parts = [
        *(("unet", network) for network in corrector.denoisers),
        ("vae_encoder", corrector.vae.encoder),
        ("vae_decoder", corrector.vae.decoder),
        ("text_encoder", corrector.text_encoder.encoder),
    ]
    return [part for stage, part in parts if backends[stage] == "eager"]


def _shallow_copy(module: Any) -> Any:
    """The same weights and submodules, in an object whose submodules may be exchanged."""
    shallow_copy = copy(module)
    shallow_copy._modules = dict(module._modules)
    return shallow_copy
