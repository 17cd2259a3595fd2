"""Which fields of a published scheduler config count: those that the class that it names reads, with its defaults.

A ``scheduler_config.json`` often holds fields of other classes, left over from the config it was made of: SD-Turbo's
names ``EulerDiscreteScheduler`` and holds ``set_alpha_to_one: false``, which Euler does not read. diffusers ignores
what the named class does not take, and fills in that class's own defaults; so do we. Only classes that noise by a table
of alpha-bars are here: a flow-matching or sigma-parametrised model cannot be sampled by ours. A class whose sampler is
not here is sampled by DDIM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ALL_READ = (
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type",
    "timestep_spacing", "steps_offset",
)  # fmt: skip
OWN = ("signal_scale", "signal_scale_steps")  # no class of diffusers has them; VideoCrafter2 was trained so
CLIP = ("clip_sample", "clip_sample_range")
THRESHOLD = ("thresholding", "dynamic_thresholding_ratio", "sample_max_value")
ZERO_SNR = ("rescale_betas_zero_snr",)
SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
SIGMA_RANGE = ("sigma_min", "sigma_max")
FLOW = ("use_flow_sigmas", "flow_shift")
SHIFTING = ("use_dynamic_shifting", "time_shift_type")
DISTILLED = ("original_inference_steps", "timestep_scaling")
MULTISTEP = ("solver_order", "solver_type", "lower_order_final")
DPM = ("algorithm_type", "lambda_min_clipped", "variance_type")
# Another spacing of the noise levels than ours.
OWN_SPACING = (*SIGMAS, "use_lu_lambdas", *SIGMA_RANGE, "interpolation_type")


@dataclass(frozen=True)
class SchedulerClass:
    """The fields that one class of diffusers reads besides ``ALL_READ``, and its defaults where DDIM's differ.

    ``defaults`` also say what the class does without having the field: one without ``clip_sample`` does not clip, and
    one without ``set_alpha_to_one`` steps to clean data. ``ignores`` are fields of ``ALL_READ`` that it does not have.
    ``sampler`` is ours for the class (``samplers/``).
    """

    reads: tuple[str, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    ignores: tuple[str, ...] = ()
    sampler: str = "ddim"


NO_CLIP = {"clip_sample": False}
LINSPACE = {"timestep_spacing": "linspace", **NO_CLIP}
SD_BETAS = {"beta_start": 0.00085, "beta_end": 0.012}
DDIM = SchedulerClass((*CLIP, "set_alpha_to_one", *THRESHOLD, *ZERO_SNR))
DDPM = SchedulerClass((*CLIP, *THRESHOLD, *ZERO_SNR, "variance_type"), sampler="ddpm")
KDPM2 = SchedulerClass(SIGMAS, LINSPACE | SD_BETAS)
CONSISTENCY = (
    (*CLIP, "set_alpha_to_one", *THRESHOLD, *ZERO_SNR, *DISTILLED),
    NO_CLIP | SD_BETAS | {"beta_schedule": "scaled_linear"},
)
CLASSES: Mapping[str, SchedulerClass] = {
    "DDIMScheduler": DDIM,
    "DDIMParallelScheduler": DDIM,
    "DDPMScheduler": DDPM,
    "DDPMParallelScheduler": DDPM,
    "PNDMScheduler": SchedulerClass(("set_alpha_to_one", "skip_prk_steps"), NO_CLIP | {"set_alpha_to_one": False}),
    "LMSDiscreteScheduler": SchedulerClass(SIGMAS, LINSPACE),
    "EulerDiscreteScheduler": SchedulerClass(
        (*SIGMAS, *SIGMA_RANGE, *ZERO_SNR, "interpolation_type", "timestep_type", "final_sigmas_type"),
        LINSPACE,
        sampler="euler",
    ),
    "EulerAncestralDiscreteScheduler": SchedulerClass(ZERO_SNR, LINSPACE, sampler="euler-ancestral"),
    "LCMScheduler": SchedulerClass(*CONSISTENCY, sampler="lcm"),
    "TCDScheduler": SchedulerClass(*CONSISTENCY, sampler="tcd"),
    "HeunDiscreteScheduler": SchedulerClass((*SIGMAS, *CLIP), LINSPACE | SD_BETAS),
    "KDPM2DiscreteScheduler": KDPM2,
    "KDPM2AncestralDiscreteScheduler": KDPM2,
    "DPMSolverSDEScheduler": SchedulerClass((*SIGMAS, "noise_sampler_seed"), LINSPACE | SD_BETAS),
    "DPMSolverMultistepScheduler": SchedulerClass(
        (
            *MULTISTEP, *DPM, *THRESHOLD, *SIGMAS, *FLOW, *SHIFTING, *ZERO_SNR, "euler_at_final", "use_lu_lambdas",
            "final_sigmas_type",
        ),
        LINSPACE,
        sampler="dpm-solver++",
    ),
    "DPMSolverSinglestepScheduler": SchedulerClass(
        (*MULTISTEP, *DPM, *THRESHOLD, *SIGMAS, *FLOW, *SHIFTING, "final_sigmas_type"),
        NO_CLIP,
        ignores=("timestep_spacing", "steps_offset"),
    ),
    "DEISMultistepScheduler": SchedulerClass(
        (*MULTISTEP, *THRESHOLD, *SIGMAS, *FLOW, *SHIFTING, "algorithm_type"), LINSPACE
    ),
    "SASolverScheduler": SchedulerClass(
        (*DPM, *THRESHOLD, *SIGMAS, *FLOW, "predictor_order", "corrector_order", "tau_func", "lower_order_final"),
        LINSPACE,
    ),
    "UniPCMultistepScheduler": SchedulerClass(
        (
            *MULTISTEP, *THRESHOLD, *SIGMAS, *SIGMA_RANGE, *FLOW, *SHIFTING, *ZERO_SNR, "predict_x0",
            "disable_corrector", "solver_p", "final_sigmas_type", "shift_terminal",
        ),
        LINSPACE,
    ),
}  # fmt: skip
CLASS_OF: Mapping[str, str] = {named.sampler: name for name, named in reversed([*CLASSES.items()])}
KNOWN = frozenset((*ALL_READ, *OWN)).union(*(named.reads for named in CLASSES.values()))


def read_by(raw: Mapping[str, Any]) -> tuple[SchedulerClass, dict[str, Any]]:
    """The class that ``raw`` names (DDIM where it names none), and the fields of ``raw`` that it reads.

    Raises ``ValueError`` (one line) for a class that is not sampled by alpha-bars, and for a field that no class has:
    it may be a newer writer's, and say something that would be lost.
    """
    name = raw.get("_class_name", "DDIMScheduler")
    if not isinstance(name, str) or name not in CLASSES:
        raise ValueError(f"scheduler class {name!r} is not served; choose {', '.join(CLASSES)}")
    for key in sorted(raw.keys() - KNOWN):
        if not key.startswith("_") and raw[key] not in (None, False):
            raise ValueError(f"scheduler field {key}={raw[key]!r} is not supported: no known scheduler has it")
    named = CLASSES[name]
    read = {*ALL_READ, *OWN, *named.reads} - {*named.ignores}
    return named, {key: value for key, value in raw.items() if key in read}
