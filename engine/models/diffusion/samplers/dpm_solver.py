"""DPM-Solver++ 2M (arXiv 2211.01095, Algorithm 2): a multistep solver of order 2 for ordinary diffusion models.

With alpha = sqrt(a), sigma = sqrt(1 - a), lambda = log(alpha / sigma), h = lambda' - lambda:

    order 1     x' = (sigma' / sigma) x + alpha' (1 - exp(-h)) x0
    order 2     the same with x0 + D / 2 for x0, where D = (x0 - x0_before) h / h_before       solver type midpoint
"""

from collections.abc import Sequence
from math import exp, inf, log, sqrt

import numpy as np

from ..scheduler_config import MULTISTEP_ORDER, SchedulerConfig, alphas_cumprod
from ..step import Step, Update

FEW_STEPS = 15  # lower_order_final counts below this number of steps


def timesteps(config: SchedulerConfig, num_inference_steps: int) -> list[float]:
    """Points 1 to N of a grid of N + 1, from noise to data; trailing as DDIM has it. ``lambda_min_clipped`` leaves out
    the noisiest timesteps. Worked example, N = 4, offset 1: leading 801 601 401 201; linspace 999 749 500 250."""
    steps = num_inference_steps
    alphas = alphas_cumprod(config).numpy()
    last = int((0.5 * np.log(alphas / (1 - alphas)) >= config.multistep.lambda_min_clipped).sum())
    if steps > last:
        raise ValueError(f"num_inference_steps {steps} exceeds the {last} training timesteps; choose at most {last}")
    if config.timestep_spacing == "linspace":
        grid = np.linspace(0, last - 1, steps + 1).round()[::-1][:-1]
    elif config.timestep_spacing == "leading":
        grid = np.arange(steps, 0, -1.0) * (last // (steps + 1)) + config.steps_offset
    else:
        grid = np.arange(last, 0, -(config.num_train_timesteps / steps)).round()[:steps] - 1
    if grid[0] >= config.num_train_timesteps:
        raise ValueError(f"num_inference_steps {steps} leave the {last} timesteps; choose fewer")
    return [int(timestep) for timestep in grid]


def steps(config: SchedulerConfig, grid: Sequence[float], first: int = 0) -> list[Step]:
    """The steps from number ``first`` of the grid on; the first one that runs is of order 1, and near the end of a
    short grid the order is lower as the config says, numbered by the whole grid."""
    alphas = alphas_cumprod(config).tolist()
    final = 1.0 if config.set_alpha_to_one else alphas[0]
    levels = [*(alphas[int(t)] for t in grid), final]
    found = []
    for i in range(first, len(grid)):
        single = i == first or order_one(config, i, len(grid))
        before = None if single else levels[i - 1]
        update = weights(config.multistep.solver_type, levels[i], levels[i + 1], before)
        found.append(Step(int(grid[i]), levels[i], levels[i + 1], update))
    return found


def order_one(config: SchedulerConfig, number: int, count: int) -> bool:
    """Is step ``number`` of ``count`` of order 1, wherever the run begins?"""
    own = config.multistep
    to_zero = config.set_alpha_to_one
    at_last = own.euler_at_final or (own.lower_order_final and count < FEW_STEPS) or to_zero
    return min(own.solver_order, MULTISTEP_ORDER) == 1 or (number == count - 1 and at_last)


def weights(solver_type: str, alpha: float, alpha_next: float, alpha_before: float | None) -> Update:
    """The weights of a step from alpha-bar ``alpha``; of order 1 without ``alpha_before``, that of the step before."""
    h = half_log_snr(alpha_next) - half_log_snr(alpha)
    decay = exp(-h)
    signal, spread_ratio = sqrt(alpha_next), sqrt((1 - alpha_next) / (1 - alpha))
    if alpha_before is None:
        return Update(clean=signal * (1 - decay), latents=spread_ratio)
    ratio = h / (half_log_snr(alpha) - half_log_snr(alpha_before))
    slope = signal * ((1 - decay) / 2 if solver_type == "midpoint" else 1 - (1 - decay) / h) * ratio
    return Update(clean=signal * (1 - decay) + slope, latents=spread_ratio, before=-slope)


def half_log_snr(alpha: float) -> float:
    """lambda of alpha-bar: log(sqrt(a) / sqrt(1 - a)); infinite at clean data."""
    return inf if alpha == 1 else 0.5 * log(alpha / (1 - alpha))
