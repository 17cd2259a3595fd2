"""Multistep sampling of a latent consistency model (arXiv 2310.04378, Algorithm 3).

d = c_out x0 + c_skip x                  c_skip = s^2 / (u^2 + s^2), c_out = u / sqrt(u^2 + s^2), u = 10 t, s = 0.5
x' = sqrt(a') d + sqrt(1 - a') n         the last step: x' = d
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np

from ....utils.least_strength import least_strength
from ..scheduler_config import SchedulerConfig, alphas_cumprod
from ..step import Step, Update

SIGMA_DATA = 0.5


def timesteps(config: SchedulerConfig, num_inference_steps: int, strength: float = 1.0) -> list[float]:
    """N of the timesteps that the model was distilled at, evenly by their numbers, from noise to data.

    The model's own pipeline passes the ``strength`` into this list and runs all N steps. Worked example, 50 original
    steps, N = 4: strength 1 has 999 759 499 259, strength 0.5 has 499 379 259 139. ``ValueError`` where the list is
    shorter than N.
    """
    total, original = config.num_train_timesteps, config.original_inference_steps
    stride, length = total // original, int(original * strength)
    if length < num_inference_steps:
        raise ValueError(
            f"num_inference_steps {num_inference_steps} exceeds the {length} timesteps up to strength {strength:g} "
            f"that the model was distilled at; choose {choices(num_inference_steps, length, original)}"
        )
    listed = [stride * (j + 1) - 1 for j in reversed(range(length))]
    chosen = np.floor(np.linspace(0, length, num=num_inference_steps, endpoint=False)).astype(int)
    return [listed[j] for j in chosen]


def choices(num_inference_steps: int, length: int, original: int) -> str:
    """Numbers of steps and strengths that go together, where the list has ``length`` of ``original`` entries."""
    fewer = [f"at most {length} steps"] if length else []
    stronger = f"strength {least_strength(num_inference_steps, original)} or more"
    return " or ".join(fewer + ([stronger] if num_inference_steps <= original else [])) or f"at most {original} steps"


def steps(config: SchedulerConfig, grid: Sequence[float], first: int = 0) -> list[Step]:
    """The steps from number ``first`` of the list on, each to the next entry, the last one to clean data."""
    alphas = alphas_cumprod(config).tolist()
    found = []
    for i in range(first, len(grid)):
        t = int(grid[i])
        alpha_next = alphas[int(grid[i + 1])] if i + 1 < len(grid) else 1.0
        scaled = t * config.timestep_scaling
        skip = SIGMA_DATA**2 / (scaled**2 + SIGMA_DATA**2)
        out = scaled / sqrt(scaled**2 + SIGMA_DATA**2)
        signal, spread = sqrt(alpha_next), sqrt(1 - alpha_next)
        found.append(Step(t, alphas[t], alpha_next, Update(signal * out, latents=signal * skip, fresh=spread)))
    return found
