"""SDEdit's truncated schedule, and the steps between two passes of the network, as pure functions.

SDEdit (arXiv 2108.01073): noise to t', then denoise from there, ACDC Eq. 2. Which timesteps and which weights a sampler
has is decided on the host (``samplers/``); what a step does to tensors is here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import torch
from torch import Tensor

from .samplers import SAMPLERS, lcm
from .scheduler_config import SchedulerConfig, input_scales
from .step import Step, Update
from .thresholding import threshold


@dataclass(frozen=True)
class Schedule:
    """The steps that a correction runs, first to last; ``config`` says what the network predicts. ``fps`` are the
    frames a second that a network of clips is asked with (None: its own default)."""

    config: SchedulerConfig
    steps: tuple[Step, ...]
    fps: int | None = None

    @property
    def start(self) -> Step:
        """Start of SDEdit: the noise level t' of the noised frame."""
        assert self.steps, "an empty schedule has no start"
        return self.steps[0]

    @property
    def drawing_steps(self) -> tuple[int, ...]:
        """Numbers of the steps that draw noise of their own."""
        return tuple(i for i, step in enumerate(self.steps) if step.update is not None and step.update.fresh)

    def record(self) -> dict[str, float]:
        """The start as files record it: ``timestep``, ``alpha_bar``, and ``steps_run``, the steps from there on."""
        start = self.start
        return {"timestep": start.timestep, "alpha_bar": start.alpha, "steps_run": len(self.steps)}


def make_schedule(config: SchedulerConfig, num_inference_steps: int, num_steps_run: int | None = None) -> Schedule:
    """The last ``num_steps_run`` steps of the N-step grid (all of them when None): SDEdit's truncated schedule."""
    sampler = SAMPLERS[config.sampler]
    grid = sampler.timesteps(config, num_inference_steps)
    first = 0 if num_steps_run is None else len(grid) - num_steps_run
    return Schedule(config, with_input_scales(config, sampler.steps(config, grid, first)))


def make_distilled_schedule(config: SchedulerConfig, num_inference_steps: int, strength: float) -> Schedule:
    """LCM's own rule: N steps, all of which run, among the timesteps up to ``strength`` that it was distilled at."""
    grid = lcm.timesteps(config, num_inference_steps, strength)
    return Schedule(config, with_input_scales(config, SAMPLERS[config.sampler].steps(config, grid, 0)))


def with_input_scales(config: SchedulerConfig, steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps with the factor by which the network reads their latents, between two timesteps interpolated."""
    scales = input_scales(config).numpy()
    found = np.interp([step.timestep for step in steps], np.arange(len(scales)), scales)
    return tuple(step._replace(input_scale=float(scale)) for step, scale in zip(steps, found, strict=True))


def add_noise(latents: Tensor, noise: Tensor, alpha: float) -> Tensor:
    """Forward diffusion to alpha-bar ``alpha`` (ACDC Eq. 2): sqrt(a) x0 + sqrt(1 - a) eps, any shape."""
    return alpha**0.5 * latents + (1 - alpha) ** 0.5 * noise


def guide(conditional: Tensor, unconditional: Tensor, guidance_scale: float) -> Tensor:
    """Classifier-free guidance (arXiv 2207.12598): uncond + w (cond - uncond)."""
    return unconditional + guidance_scale * (conditional - unconditional)


def split(config: SchedulerConfig, latents: Tensor, prediction: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """x0 and eps at alpha-bar ``alpha``, from what the network predicts."""
    signal, spread = alpha**0.5, (1 - alpha) ** 0.5
    if config.prediction_type == "epsilon":
        x0, eps = (latents - spread * prediction) / signal, prediction
    elif config.prediction_type == "v_prediction":
        x0, eps = signal * latents - spread * prediction, signal * prediction + spread * latents
    else:
        x0, eps = prediction, (latents - signal * prediction) / spread
    if config.thresholding:
        x0 = threshold(x0, config.dynamic_thresholding_ratio, config.sample_max_value)
    elif config.clip_sample:
        x0 = x0.clamp(-config.clip_sample_range, config.clip_sample_range)
    return x0, eps


def take_step(
    config: SchedulerConfig,
    latents: Tensor,
    prediction: Tensor,
    step: Step,
    fresh: Tensor | None = None,
    before: Tensor | None = None,
    variance: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One step of any sampler: the next latents, and x0 for the step after it. Without an update it is DDIM's with eta
    0 (arXiv 2010.02502 Eq. 12), from alpha-bar a to a': x' = sqrt(a') x0 + sqrt(1 - a') eps.

    ``fresh`` is the noise of a step that draws some, ``before`` the x0 of the step before, for a step that reads it.
    ``variance`` is what the network says of that noise, where it was trained to.
    """
    x0, eps = split(config, latents, prediction, step.alpha)
    if step.update is None:
        return step.alpha_next**0.5 * x0 + (1 - step.alpha_next) ** 0.5 * eps, x0
    weights = step.update
    moved = weights.clean * x0
    if weights.most_fresh:
        assert fresh is not None, f"{step} reads what it was not given"
        assert variance is not None, "schedule_of() refuses a network that predicts none"
        fresh = fresh_share(weights, variance) * fresh
    for weight, term in (
        (weights.noise, eps), (weights.latents, latents), (weights.fresh, fresh), (weights.before, before)
    ):  # fmt: skip
        if weight:
            assert term is not None, f"{step} reads what it was not given"
            moved = moved + weight * term
    return moved, x0


def fresh_share(weights: Update, variance: Tensor) -> Tensor:
    """The factor that the network's answer v, ``variance`` of any shape, gives to ``weights.fresh``: its least noise
    at v = -1, ``weights.most_fresh`` at 1."""
    growth = log(weights.most_fresh / weights.fresh)
    return torch.exp((variance + 1) * (growth / 2))
