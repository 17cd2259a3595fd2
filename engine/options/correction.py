"""Options of the correction by the diffusion model (Eq. 2, SDEdit)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from ..utils.field_types import check_types
from ..utils.least_strength import least_strength
from .checks import check_text

Sampler = Literal["ddim", "ddpm", "euler", "euler-ancestral", "lcm", "tcd", "dpm-solver++"]
SAMPLERS: tuple[str, ...] = get_args(Sampler)
Spacing = Literal["leading", "trailing", "linspace"]
FEW_STEPS = 8  # up to here every step is listed, and what runs is said before anything is drawn


@dataclass(frozen=True)
class CorrectionOptions:
    """Which frames the diffusion model corrects, and how; ``None`` takes the bundle's default.

    ``strength`` t' in (0, 1] and ``num_inference_steps`` N run min(int(N * t'), N) steps, as diffusers counts them; a
    network distilled by LCM with its guidance runs N steps from t' on. ``sampler`` and ``timestep_spacing`` are the
    scheduler's of the model where None, ``gamma`` in [0, 1] is the share of fresh noise in TCD's steps (None: 0.3).
    ``first`` corrects frames 1..K only, ``every`` frames 1, 1+K, 1+2K, ... ``feed_back=False`` shows the
    corrected frame and leaves the ARM's own tokens in its context. ``size`` is the length in pixels of the shorter side
    at which the diffusion model works (None: the bundle's, or else the frame's); frames are resized bicubically.
    ``guidance_scale`` and ``negative_prompt`` are those of classifier-free guidance. ``sample_posterior`` draws the
    latents from the VAE's posterior instead of taking its mean. ``fps`` are the frames a second that a model of clips
    is asked for, where it reads them (VideoCrafter2; None: 16).
    """

    enabled: bool = True
    first: int | None = None
    every: int = 1
    feed_back: bool = True
    strength: float | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    negative_prompt: str = ""
    sample_posterior: bool = False
    size: int | None = None
    sampler: Sampler | None = None
    timestep_spacing: Spacing | None = None
    gamma: float | None = None
    fps: int | None = None

    def __post_init__(self) -> None:
        check_types(self)
        check_text("negative_prompt", self.negative_prompt)
        if self.strength is not None and not 0.0 < self.strength <= 1.0:
            raise ValueError(f"strength {self.strength} is out of range; choose 0 < strength <= 1")
        if self.num_inference_steps is not None and self.num_inference_steps < 1:
            raise ValueError(f"num_inference_steps {self.num_inference_steps} is too small; choose 1 or more")
        if self.first is not None and self.first < 0:
            raise ValueError(f"correct_first {self.first} is negative; choose 0 or more frames")
        if self.every < 1:
            raise ValueError(f"correct_every {self.every} is too small; choose 1 or more")
        if self.size is not None and self.size < 1:
            raise ValueError(f"correction_size {self.size} is too small; choose a multiple of 8 pixels")
        if self.guidance_scale is not None and not 0.0 <= self.guidance_scale < float("inf"):
            value = self.guidance_scale
            raise ValueError(f"guidance_scale {value} is out of range; choose 0 or more (1 = no guidance)")
        if self.fps is not None and self.fps < 1:
            raise ValueError(f"correction_fps {self.fps} is too small; choose 1 frame a second or more")
        if self.gamma is not None and not 0.0 <= self.gamma <= 1.0:
            raise ValueError(f"gamma {self.gamma} is out of range; choose 0 (no fresh noise) to 1")

    @property
    def steps_and_strength(self) -> tuple[int, float]:
        """N and t' of resolved options."""
        steps, strength = self.num_inference_steps, self.strength
        assert steps is not None, "options are resolved before use"
        assert strength is not None, "options are resolved before use"
        return steps, strength

    @property
    def num_steps_run(self) -> int:
        """Steps that a correction with resolved options runs: min(int(N * t'), N)."""
        steps, strength = self.steps_and_strength
        return min(int(steps * strength), steps)

    def check_steps_run(self) -> int:
        """``num_steps_run``; ``ValueError`` with the choices where it is 0."""
        if self.num_steps_run < 1:
            steps, strength = self.steps_and_strength
            more = math.ceil(1 / strength)
            more += int(more * strength) < 1  # 49 * (1 / 49) is 0.999...
            least = least_strength(1, steps)
            listed = [least_strength(run, steps) for run in range(1, steps + 1)] if steps <= FEW_STEPS else []
            strengths = " or ".join([*filter(None, [", ".join(listed[:-1])]), *listed[-1:]]) or f"{least} or more"
            raise ValueError(
                f"strength {strength} leaves no step of {steps}; choose strength {strengths}, or {more} steps or more"
            )
        return self.num_steps_run

    def corrects(self, index: int) -> bool:
        """Is frame ``index`` (from 0) corrected?"""
        within = self.first is None or index < self.first
        return self.enabled and within and index % self.every == 0
