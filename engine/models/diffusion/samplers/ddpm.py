"""Ancestral sampling of DDPM (arXiv 2006.11239, Eqs. 6 and 7): DeepFloyd IF.

With b = 1 - a / a' and the variance s = b (1 - a') / (1 - a), whatever lies between two points of the grid,

    x' = sqrt(a') b / (1 - a) x0 + sqrt(a / a') (1 - a') / (1 - a) x + sqrt(s) n         none at timestep 0

``fixed_large`` has b in the place of s; with ``learned_range`` the network says how far between them, in the exponent
(arXiv 2102.09672, Eq. 15).
"""

from collections.abc import Sequence
from math import sqrt

from ..scheduler_config import SchedulerConfig, alphas_cumprod
from ..step import Step, Update
from . import ddim

LEAST_VARIANCE = 1e-20  # the logarithm is taken of it

timesteps = ddim.timesteps


def steps(config: SchedulerConfig, grid: Sequence[float], first: int = 0) -> list[Step]:
    """The steps from number ``first`` of the grid on, each to the grid's next point, the last one to clean data."""
    alphas = alphas_cumprod(config).tolist()
    found = []
    for i in range(first, len(grid)):
        t = int(grid[i])
        alpha, alpha_next = alphas[t], alphas[int(grid[i + 1])] if i + 1 < len(grid) else 1.0
        beta = 1 - alpha / alpha_next
        small, large = max(beta * (1 - alpha_next) / (1 - alpha), LEAST_VARIANCE), beta
        fresh = large if config.ancestral.variance_type == "fixed_large" else small
        update = Update(
            clean=sqrt(alpha_next) * beta / (1 - alpha),
            latents=sqrt(alpha / alpha_next) * (1 - alpha_next) / (1 - alpha),
            fresh=sqrt(fresh) if t > 0 else 0.0,
            most_fresh=sqrt(large) if t > 0 and config.ancestral.variance_type == "learned_range" else 0.0,
        )
        found.append(Step(t, alpha, alpha_next, update))
    return found
