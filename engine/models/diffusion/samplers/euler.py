"""Euler's method on the probability flow (arXiv 2206.00364, Algorithm 2 without churn): SD-Turbo, SDXL-Lightning.

    y' = y + (sigma' - sigma) (y - x0) / sigma

With y = x / sqrt(a) this is a step of DDIM from alpha-bar a to a'; the two differ in the grid and in where they end.
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np

from ..scheduler_config import SchedulerConfig, alphas_cumprod
from ..step import Step, Update
from . import ddim


def timesteps(config: SchedulerConfig, num_inference_steps: int) -> list[float]:
    """DDIM's grid, but that linspace keeps fractions: N = 8 has 999, 856.29, ... 0."""
    if config.timestep_spacing == "linspace" and num_inference_steps <= config.num_train_timesteps:
        grid = np.linspace(0, config.num_train_timesteps - 1, num_inference_steps, dtype=np.float32)
        return [float(timestep) for timestep in grid[::-1]]
    return ddim.timesteps(config, num_inference_steps)


def levels(config: SchedulerConfig, grid: Sequence[float]) -> list[float]:
    """alpha-bar at each point of the grid, and at the end; between two timesteps sigma is interpolated."""
    alphas = alphas_cumprod(config).numpy()
    sigmas = np.interp(np.asarray(grid, dtype=np.float64), np.arange(len(alphas)), ((1 - alphas) / alphas) ** 0.5)
    final = 1.0 if config.set_alpha_to_one else float(alphas[0])
    return [*(1 / (1 + sigmas**2)).tolist(), final]


def steps(config: SchedulerConfig, grid: Sequence[float], first: int = 0) -> list[Step]:
    """The steps from number ``first`` of the grid on, each to the grid's next point.

    Where the last one ends at a noise level ("sigma_min"), its latents are y: nothing brings them to the scale of x."""
    alphas = levels(config, grid)
    found = [Step(grid[i], alphas[i], alphas[i + 1]) for i in range(first, len(grid))]
    if found and alphas[-1] < 1:
        found[-1] = found[-1]._replace(update=Update(1.0, noise=sqrt((1 - alphas[-1]) / alphas[-1])))
    return found
