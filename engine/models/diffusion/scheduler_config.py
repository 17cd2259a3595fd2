"""A published ``scheduler_config.json`` as a dataclass that checks itself: the noise schedule a diffusion model was
trained on, the sampler that its class names, and the conventions of that sampler.

Field names and rounding follow diffusers, so that a published directory means the same here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from .scheduler_classes import CLASS_OF, OWN_SPACING, read_by

SPACINGS = ("leading", "trailing", "linspace")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
SOLVERS = ("midpoint", "heun")
VARIANCES = ("fixed_small", "fixed_small_log", "fixed_large", "learned_range")
# Fields that change the noise levels, or what the network's answer means, in a way that is not served.
MUST_BE_OFF = (
    "rescale_betas_zero_snr", "trained_betas", "use_flow_sigmas", "use_dynamic_shifting",
    "shift_terminal",
)  # fmt: skip
MOST_TIMESTEPS = 100_000
LEAST_SIGNAL = 1e-30  # of alpha-bar, of which float32 divides by the square root; cosine betas reach 2.4e-9
MULTISTEP_ORDER = 2  # the highest of DPM-Solver++ that runs here


@dataclass(frozen=True)
class Multistep:
    """Fields of DPM-Solver++ alone (arXiv 2211.01095)."""

    solver_order: int = 2
    solver_type: str = "midpoint"
    lower_order_final: bool = True
    euler_at_final: bool = False
    lambda_min_clipped: float = -math.inf


@dataclass(frozen=True)
class Ancestral:
    """Fields of DDPM alone (arXiv 2006.11239)."""

    variance_type: str = "fixed_small"


@dataclass(frozen=True)
class SchedulerConfig:
    """The noise schedule a diffusion model was trained on and the conventions it is sampled with.

    ``original_inference_steps`` and ``timestep_scaling`` are LCM's and TCD's, ``multistep`` DPM-Solver++'s, ``gamma``
    in [0, 1] the share of fresh noise in a step of TCD, which no published config holds, ``ancestral`` DDPM's.
    ``thresholding`` replaces clipping (``thresholding.py``). A model whose signal was scaled as well was trained on
    x_t = sqrt(abar) s x0 + sqrt(1 - abar) n, where s falls from 1 at timestep 0 to ``signal_scale`` at number
    ``signal_scale_steps`` - 1, evenly, and stays (VideoCrafter2).
    """

    sampler: str = "ddim"
    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    prediction_type: str = "epsilon"
    timestep_spacing: str = "leading"
    steps_offset: int = 0
    set_alpha_to_one: bool = True
    clip_sample: bool = True
    clip_sample_range: float = 1.0
    original_inference_steps: int = 50
    timestep_scaling: float = 10.0
    gamma: float = 0.3
    signal_scale: float = 1.0
    signal_scale_steps: int = 400
    thresholding: bool = False
    dynamic_thresholding_ratio: float = 0.995
    sample_max_value: float = 1.0
    ancestral: Ancestral = Ancestral()
    multistep: Multistep = Multistep()

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], sampler: str | None = None, **changes: Any) -> "SchedulerConfig":
        """Read a diffusers ``scheduler_config.json`` as the class that it names reads it, for that class's sampler; for
        another ``sampler``, as that sampler's class reads it. DDIM takes what any class reads. ``changes`` are fields
        with other values (None: the config's).

        Fields that the class does not have are ignored, and what the config leaves out has that class's default
        (``scheduler_classes.py``). A last noise level of "sigma_min" is DDIM's ``set_alpha_to_one=False``. Raises
        ``ValueError`` (one line) for what the sampler cannot honour.
        """
        own = read_by(raw)[0].sampler
        if sampler not in (None, "ddim", own):
            raw = {**raw, "_class_name": CLASS_OF[sampler]}
        named, read = read_by(raw)
        for name in MUST_BE_OFF:
            if read.get(name):
                raise ValueError(f"scheduler field {name}={read[name]!r} is not supported; it must be off")
        if read.get("timestep_type", "discrete") != "discrete":
            raise ValueError(f"scheduler field timestep_type={read['timestep_type']!r} is not supported; use discrete")
        known = {**named.defaults, **{name: read[name] for name in cls.__dataclass_fields__ if name in read}}
        known |= {"sampler": sampler or own} | {name: value for name, value in changes.items() if value is not None}
        if read.get("final_sigmas_type") == "sigma_min":
            known["set_alpha_to_one"] = False
        if known["sampler"] == "dpm-solver++":
            own_fields = {name: read[name] for name in Multistep.__dataclass_fields__ if name in read}
            known["multistep"] = Multistep(**own_fields)
        if known["sampler"] == "ddpm" and "variance_type" in read:
            known["ancestral"] = Ancestral(read["variance_type"])
        return cls(**known)

    def __post_init__(self) -> None:
        check_kinds(self)
        check_kinds(self.multistep)
        check_kinds(self.ancestral)
        for name, value, choices in (
            ("beta_schedule", self.beta_schedule, BETAS),
            ("prediction_type", self.prediction_type, PREDICTIONS),
            ("timestep_spacing", self.timestep_spacing, SPACINGS),
            ("solver_type", self.multistep.solver_type, SOLVERS),
            ("variance_type", self.ancestral.variance_type, VARIANCES),
        ):
            if value not in choices:
                raise ValueError(f"scheduler field {name}={value!r} is not supported; choose {', '.join(choices)}")
        self._check_ranges()

    def _check_ranges(self) -> None:
        """Comparisons are written so that NaN fails them."""
        total, ratio = self.num_train_timesteps, self.dynamic_thresholding_ratio
        for name, value, fits, wanted in (
            ("num_train_timesteps", total, 1 <= total <= MOST_TIMESTEPS, f"1 to {MOST_TIMESTEPS}"),
            ("beta_start", self.beta_start, 0 < self.beta_start < 1, "more than 0 and less than 1"),
            ("beta_end", self.beta_end, 0 < self.beta_end < 1, "more than 0 and less than 1"),
            ("clip_sample_range", self.clip_sample_range, 0 < self.clip_sample_range < math.inf, "a positive number"),
            ("steps_offset", self.steps_offset, 0 <= self.steps_offset < total, f"0 to {total - 1}"),
            ("timestep_scaling", self.timestep_scaling, 0 < self.timestep_scaling < math.inf, "a positive number"),
            ("gamma", self.gamma, 0 <= self.gamma <= 1, "0 to 1"),
            ("signal_scale", self.signal_scale, 0 < self.signal_scale <= 1, "more than 0, up to 1"),
            ("signal_scale_steps", self.signal_scale_steps, self.signal_scale_steps > 1, "2 or more"),
            ("dynamic_thresholding_ratio", ratio, 0 < ratio <= 1, "more than 0, at most 1"),
            ("sample_max_value", self.sample_max_value, 1 <= self.sample_max_value < math.inf, "1 or more"),
            ("solver_order", self.multistep.solver_order, 1 <= self.multistep.solver_order <= 3, "1 to 3"),
        ):
            if not fits:
                raise ValueError(f"scheduler field {name}={value!r} is out of range; expected {wanted}")
        if self.sampler in ("lcm", "tcd") and not 1 <= self.original_inference_steps <= total:
            found = f"original_inference_steps={self.original_inference_steps!r}"
            raise ValueError(f"scheduler field {found} is out of range; expected 1 to {total}")
        if self.signal_scale != 1 and self.prediction_type == "v_prediction":
            raise ValueError("scheduler field signal_scale is not supported with prediction_type='v_prediction'")
        last = float(alphas_cumprod(self)[-1])
        if last < LEAST_SIGNAL:
            names = ", ".join(f"{name}={getattr(self, name)!r}" for name in ("beta_start", "beta_end"))
            raise ValueError(f"scheduler fields {names} leave no signal at the last timestep (alpha-bar {last:.1g})")


def check_kinds(config: Any) -> None:
    """``ValueError`` for a field whose value has another type than its default; an integer is a float, too."""
    for field in fields(config):
        value, default = getattr(config, field.name), field.default
        kinds = (int, float) if isinstance(default, float) else type(default)
        if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool):
            raise ValueError(f"scheduler field {field.name}={value!r} is not of the kind of {default!r}")


def unused_settings(raw: Mapping[str, Any]) -> list[str]:
    """Settings of a config, as "name=value", that the class that it names reads and our sampler does not honour: other
    spacings of the noise levels, and solvers of DPM-Solver++'s class that are not of order 1 or 2."""
    named, read = read_by(raw)
    unused = [name for name in OWN_SPACING if read.get(name) not in (None, False, "linear")]
    if named.sampler == "dpm-solver++":
        unused += [name for name in ("algorithm_type",) if read.get(name, "dpmsolver++") != "dpmsolver++"]
        unused += [name for name in ("solver_order",) if read.get(name, 2) not in (1, MULTISTEP_ORDER)]
    return [f"{name}={read[name]!r}" for name in unused]


def alphas_cumprod(config: SchedulerConfig) -> Tensor:
    """alpha-bar of every training timestep, float64 [num_train_timesteps]: of the latents that samplers keep, which are
    the network's divided by :func:`input_scales`."""
    signal = signal_power(config)
    return signal / input_scales(config) ** 2


def input_scales(config: SchedulerConfig) -> Tensor:
    """The factor from a sampler's latents to the network's at every training timestep; 1 unless the signal is scaled.

    With signal S = sqrt(abar) s and spread N = sqrt(1 - abar), S^2 + N^2 < 1. Samplers keep x / r, r = sqrt(S^2 + N^2),
    in which signal and spread are sqrt(a) and sqrt(1 - a) with a = S^2 / r^2, as in any model."""
    if config.signal_scale == 1:
        return torch.ones(config.num_train_timesteps, dtype=torch.float64)
    return (signal_power(config) + 1 - trained_alphas(config)).sqrt()


def signal_power(config: SchedulerConfig) -> Tensor:
    """abar s^2 of every training timestep."""
    number = torch.arange(config.num_train_timesteps, dtype=torch.float64)
    share = (number / (config.signal_scale_steps - 1)).clamp(max=1)
    return trained_alphas(config) * (1 - (1 - config.signal_scale) * share) ** 2


def trained_alphas(config: SchedulerConfig) -> Tensor:
    """The cumulative products of 1 - beta."""
    count = config.num_train_timesteps
    if config.beta_schedule == "squaredcos_cap_v2":
        edges = torch.cos((torch.arange(count + 1, dtype=torch.float64) / count + 0.008) / 1.008 * torch.pi / 2) ** 2
        betas = (1 - edges[1:] / edges[:-1]).clamp(max=0.999)
    elif config.beta_schedule == "scaled_linear":
        betas = torch.linspace(config.beta_start**0.5, config.beta_end**0.5, count, dtype=torch.float64) ** 2
    else:
        betas = torch.linspace(config.beta_start, config.beta_end, count, dtype=torch.float64)
    return torch.cumprod(1 - betas, dim=0)
