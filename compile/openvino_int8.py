"""OpenVINO with products and convolutions in int8, weights and activations: quantized after training by NNCF. Lossy.

Ranges of activations come from a calibration: inputs of the stage in corrections that its own models drew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from . import openvino
from .builder import PlanRefused
from .cache import PlanCache
from .installed import installed
from .key import plan_key
from .processor import instructions
from .proof import Proof
from .spec import Plan, StageSpec

QUANTIZE = "acdc.compile.openvino_int8_ir:quantize_ir"
SAMPLES = "samples.safetensors"  # only while NNCF runs
LIMIT_SECONDS = 3600.0
MAKER = "1"  # counts up when the same stage and samples are quantized otherwise
STAGES = ("unet",)
VNNI = {"avx_vnni", "avx512_vnni"}


@dataclass(frozen=True)
class Calibration:
    """Source of a stage's samples. ``digest`` changes with all that decides them."""

    digest: str
    samples: Callable[[StageSpec], Sequence[tuple[Tensor, ...]]] = field(repr=False)


class _SampleProof(Proof):
    """The call of a stage with its first sample: of normals the activations have another range."""

    def __init__(self, run: nn.Module, spec: StageSpec, calibration: Calibration) -> None:
        super().__init__(run, spec)
        self.calibration = calibration

    @cached_property
    def samples(self) -> Sequence[tuple[Tensor, ...]]:
        """Drawn once."""
        return self.calibration.samples(self.spec)

    @cached_property
    def inputs(self) -> tuple[Tensor, ...]:
        return self.samples[0]


def saturates(found: Collection[str]) -> bool:
    """Do two products of eight bits overflow their sum of sixteen on a processor with these instructions? On x86 before
    VNNI they do, where weights use more than half of their range."""
    return "avx2" in found and not VNNI & set(found)


def unsupported_reasons(spec: StageSpec) -> list[str]:
    """Those of float32, no NNCF, or a stage without samples."""
    reasons = openvino.unsupported_reasons(spec)
    if installed("nncf") is None:
        reasons.append("nncf is not installed: pip install 'acdc-engine[int8]'")
    if spec.name not in STAGES:
        reasons.append(f"only {', '.join(STAGES)} can be in int8: choose unet=openvino-int8")
    return reasons


def make_plan(run: nn.Module, spec: StageSpec, cache: PlanCache) -> Plan:
    """As the float32 backend, of an IR that NNCF quantized; what stays in floating point is bfloat16 where the CPU has
    units for it. ``run.calibration`` has the samples; they are asked for where no plan is kept."""
    calibration = run.calibration
    assert isinstance(calibration, Calibration), "the stages that can be in int8 have one"
    proof = _SampleProof(run, spec, calibration)
    halved = saturates(instructions())
    made_by = f"{installed('openvino')}-{installed('nncf')}-{MAKER}{'-halved' * halved}-{calibration.digest}"

    def build(folder: Path) -> None:
        source = openvino.ir(proof, cache)
        samples = {
            f"{row} {index}": value.clone(memory_format=torch.contiguous_format)  # the file shares no memory
            for row, inputs in enumerate(proof.samples)
            for index, value in enumerate(inputs)
        }
        save_file(samples, folder / SAMPLES)
        where = {"source": str(source), "samples": str(folder / SAMPLES), "target": str(folder)}
        try:
            cache.run(QUANTIZE, {**where, "halved": halved}, LIMIT_SECONDS)
        except PlanRefused as error:
            raise PlanRefused(
                f"backend 'openvino-int8' cannot build {spec}: NNCF {installed('nncf')} {error}"
            ) from None
        (folder / SAMPLES).unlink()

    folder = cache.entry(plan_key(run, spec, "openvino-int8", made_by), f"{spec} in int8", build)
    precision = "bf16" if "BF16" in openvino.capabilities() else "f32"
    return openvino.OpenVINOPlan(openvino.load(folder, proof, cache, precision, "openvino-int8"))
