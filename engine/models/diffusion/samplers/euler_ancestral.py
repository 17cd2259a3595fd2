"""Euler's method with fresh noise in each step, as in k-diffusion ("ancestral"): SDXL-Turbo.

    up^2 = sigma'^2 (sigma^2 - sigma'^2) / sigma^2,  down^2 = sigma'^2 - up^2
    y' = y + (down - sigma) (y - x0) / sigma + up n

With y = x / sqrt(a): x' = sqrt(a') (x0 + down eps + up n).
"""

from collections.abc import Sequence
from math import sqrt

from ..scheduler_config import SchedulerConfig
from ..step import Step, Update
from . import euler

timesteps = euler.timesteps


def steps(config: SchedulerConfig, grid: Sequence[float], first: int = 0) -> list[Step]:
    """The steps from number ``first`` of the grid on; the last one ends without noise, so it draws none."""
    alphas = euler.levels(config, grid)
    steps = [Step(grid[i], alphas[i], alphas[i + 1]) for i in range(first, len(grid))]
    return [step._replace(update=update(step)) for step in steps]


def update(step: Step) -> Update | None:
    """The weights of a step; None where it is Euler's (sigma' = 0)."""
    variance, variance_next = (1 - step.alpha) / step.alpha, (1 - step.alpha_next) / step.alpha_next
    up = sqrt(variance_next * (variance - variance_next) / variance)
    if not up:
        return None
    signal = sqrt(step.alpha_next)
    return Update(clean=signal, noise=signal * sqrt(variance_next - up**2), fresh=signal * up)
