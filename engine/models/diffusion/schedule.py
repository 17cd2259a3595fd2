"""DDIM on a truncated schedule, as pure functions: the mathematics of the correction.

Song et al., "Denoising Diffusion Implicit Models" (arXiv 2010.02502), eta = 0; SDEdit (arXiv 2108.01073): noise to t',
then denoise from there, ACDC Eq. 2. Field names and rounding follow diffusers' scheduler configuration, so that a
published directory means the same here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .scheduler_classes import read_by

SPACINGS = ("leading", "trailing", "linspace")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
# Fields that change the noise levels, or what the network's answer means, in a way that is not served.
MUST_BE_OFF = (
    "thresholding", "rescale_betas_zero_snr", "trained_betas", "use_flow_sigmas", "use_dynamic_shifting",
    "shift_terminal",
)  # fmt: skip
# How another class's solver spaces its noise levels: DDIM spaces its own, so these change nothing here.
OWN_SPACING = (
    "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "sigma_min", "sigma_max",
)  # fmt: skip
MOST_TIMESTEPS = 100_000
LEAST_SIGNAL = 1e-30  # of alpha-bar, of which float32 divides by the square root; cosine betas reach 2.4e-9


@dataclass(frozen=True)
class SchedulerConfig:
    """The noise schedule a diffusion model was trained on and the conventions it is sampled with."""

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

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "SchedulerConfig":
        """Read a diffusers ``scheduler_config.json``, as the class that it names reads it; refuse what DDIM cannot
        honour.

        Fields that the named class does not have are ignored, and what the config leaves out has that class's default
        (``scheduler_classes.py``). A last noise level of "sigma_min" is DDIM's ``set_alpha_to_one=False``.
        """
        named, read = read_by(raw)
        for name in MUST_BE_OFF:
            if read.get(name):
                raise ValueError(f"scheduler field {name}={read[name]!r} is not supported; it must be off")
        if read.get("timestep_type", "discrete") != "discrete":
            raise ValueError(f"scheduler field timestep_type={read['timestep_type']!r} is not supported; use discrete")
        known = {**named.defaults, **{name: read[name] for name in cls.__dataclass_fields__ if name in read}}
        if read.get("final_sigmas_type") == "sigma_min":
            known["set_alpha_to_one"] = False
        return cls(**known)

    def __post_init__(self) -> None:
        for field in fields(self):
            value, default = getattr(self, field.name), field.default
            kinds = (int, float) if isinstance(default, float) else type(default)
            if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool):
                raise ValueError(f"scheduler field {field.name}={value!r} is not of the kind of {default!r}")
        for name, value, choices in (
            ("beta_schedule", self.beta_schedule, BETAS),
            ("prediction_type", self.prediction_type, PREDICTIONS),
            ("timestep_spacing", self.timestep_spacing, SPACINGS),
        ):
            if value not in choices:
                raise ValueError(f"scheduler field {name}={value!r} is not supported; choose {', '.join(choices)}")
        self._check_ranges()

    def _check_ranges(self) -> None:
        """Comparisons are written so that NaN fails them."""
        for name, fits, wanted in (
            ("num_train_timesteps", 1 <= self.num_train_timesteps <= MOST_TIMESTEPS, f"1 to {MOST_TIMESTEPS}"),
            ("beta_start", 0 < self.beta_start < 1, "more than 0 and less than 1"),
            ("beta_end", 0 < self.beta_end < 1, "more than 0 and less than 1"),
            ("clip_sample_range", 0 < self.clip_sample_range < math.inf, "a positive number"),
            ("steps_offset", 0 <= self.steps_offset < self.num_train_timesteps, f"0 to {self.num_train_timesteps - 1}"),
        ):
            if not fits:
                raise ValueError(f"scheduler field {name}={getattr(self, name)!r} is out of range; expected {wanted}")
        last = float(alphas_cumprod(self)[-1])
        if last < LEAST_SIGNAL:
            names = ", ".join(f"{name}={getattr(self, name)!r}" for name in ("beta_start", "beta_end"))
            raise ValueError(f"scheduler fields {names} leave no signal at the last timestep (alpha-bar {last:.1g})")


def ignored_spacing(raw: Mapping[str, Any]) -> list[str]:
    """The settings of a config, as "name=value", by which the class that it names would space its noise levels."""
    _, read = read_by(raw)
    return [f"{name}={read[name]!r}" for name in OWN_SPACING if read.get(name) not in (None, False)]


class Step(NamedTuple):
    """One DDIM step: the timestep the network is asked at, and alpha-bar before and after."""

    timestep: int
    alpha: float
    alpha_next: float


@dataclass(frozen=True)
class Schedule:
    """The steps that a correction runs, first to last; ``config`` says what the network predicts."""

    config: SchedulerConfig
    steps: tuple[Step, ...]

    @property
    def start(self) -> Step:
        """Start of SDEdit: the noise level t' of the noised frame."""
        assert self.steps, "an empty schedule has no start"
        return self.steps[0]


def alphas_cumprod(config: SchedulerConfig) -> Tensor:
    """alpha-bar of every training timestep, float64 [num_train_timesteps]."""
    count = config.num_train_timesteps
    if config.beta_schedule == "squaredcos_cap_v2":
        edges = torch.cos((torch.arange(count + 1, dtype=torch.float64) / count + 0.008) / 1.008 * torch.pi / 2) ** 2
        betas = (1 - edges[1:] / edges[:-1]).clamp(max=0.999)
    elif config.beta_schedule == "scaled_linear":
        betas = torch.linspace(config.beta_start**0.5, config.beta_end**0.5, count, dtype=torch.float64) ** 2
    else:
        betas = torch.linspace(config.beta_start, config.beta_end, count, dtype=torch.float64)
    return torch.cumprod(1 - betas, dim=0)


def all_timesteps(config: SchedulerConfig, num_inference_steps: int) -> list[int]:
    """The full grid of N timesteps, from noise to data, by diffusers' own arithmetic: a grid value halfway between two
    integers goes where its rounding errors put it. Where its trailing grid runs past the data and has a timestep -1
    more (``np.arange`` with a fractional stride), that one is left out.

    Worked example, 1000 training steps, N = 4, offset 1: leading 751 501 251 1; trailing 999 749 499 249;
    linspace 999 666 333 0.
    """
    total, steps = config.num_train_timesteps, num_inference_steps
    if steps > total:
        raise ValueError(f"num_inference_steps {steps} exceeds the {total} training timesteps; choose at most {total}")
    if config.timestep_spacing == "leading":
        if (steps - 1) * (total // steps) + config.steps_offset >= total:
            offset = f"steps_offset {config.steps_offset}"
            raise ValueError(f"num_inference_steps {steps} with {offset} leave the {total} timesteps; choose fewer")
        return [i * (total // steps) + config.steps_offset for i in reversed(range(steps))]
    if config.timestep_spacing == "trailing":
        grid = np.round(np.arange(total, 0, -(total / steps)))[:steps] - 1
    else:
        grid = np.linspace(0, total - 1, steps).round()[::-1]
    return [int(timestep) for timestep in grid]


def make_schedule(config: SchedulerConfig, num_inference_steps: int, num_steps_run: int | None = None) -> Schedule:
    """The last ``num_steps_run`` steps of the N-step grid (all of them when None): SDEdit's truncated schedule."""
    alphas = alphas_cumprod(config)
    final = 1.0 if config.set_alpha_to_one else float(alphas[0])
    stride = config.num_train_timesteps // num_inference_steps
    grid = all_timesteps(config, num_inference_steps)
    kept = grid if num_steps_run is None else grid[len(grid) - num_steps_run :]
    steps = [Step(t, float(alphas[t]), float(alphas[t - stride]) if t >= stride else final) for t in kept]
    return Schedule(config, tuple(steps))


def add_noise(latents: Tensor, noise: Tensor, alpha: float) -> Tensor:
    """Forward diffusion to alpha-bar ``alpha`` (ACDC Eq. 2): sqrt(a) x0 + sqrt(1 - a) eps, any shape."""
    return alpha**0.5 * latents + (1 - alpha) ** 0.5 * noise


def guide(conditional: Tensor, unconditional: Tensor, guidance_scale: float) -> Tensor:
    """Classifier-free guidance (arXiv 2207.12598): uncond + w (cond - uncond)."""
    return unconditional + guidance_scale * (conditional - unconditional)


def ddim_step(config: SchedulerConfig, latents: Tensor, prediction: Tensor, step: Step) -> Tensor:
    """One step of DDIM with eta 0 (arXiv 2010.02502 Eq. 12): from alpha-bar a to a':
    x0 and eps follow from the prediction; x' = sqrt(a') x0 + sqrt(1 - a') eps."""
    signal, spread = step.alpha**0.5, (1 - step.alpha) ** 0.5
    if config.prediction_type == "epsilon":
        x0, eps = (latents - spread * prediction) / signal, prediction
    elif config.prediction_type == "v_prediction":
        x0, eps = signal * latents - spread * prediction, signal * prediction + spread * latents
    else:
        x0, eps = prediction, (latents - signal * prediction) / spread
    if config.clip_sample:
        x0 = x0.clamp(-config.clip_sample_range, config.clip_sample_range)
    return step.alpha_next**0.5 * x0 + (1 - step.alpha_next) ** 0.5 * eps
