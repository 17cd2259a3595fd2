"""Strategic stochastic sampling of a trajectory consistency model (arXiv 2402.19159, Algorithm 4): TCD, Hyper-SD.

s = floor((1 - gamma) t'),  x_s = sqrt(a_s) x0 + sqrt(1 - a_s) eps
x' = sqrt(a' / a_s) x_s + sqrt(1 - a' / a_s) n           the last step, and gamma = 0: x' = x_s
"""

from collections.abc import Sequence
from math import floor, sqrt

from ..scheduler_config import SchedulerConfig, alphas_cumprod
from ..step import Step, Update
from . import lcm

timesteps = lcm.timesteps


def steps(config: SchedulerConfig, grid: Sequence[float], first: int = 0) -> list[Step]:
    """The steps from number ``first`` of the list on, each to the next entry, the last one to the first alpha-bar."""
    alphas = alphas_cumprod(config).tolist()
    found = []
    for i in range(first, len(grid)):
        t, t_next = int(grid[i]), int(grid[i + 1]) if i + 1 < len(grid) else 0
        alpha_next, alpha_s = alphas[t_next], alphas[floor((1 - config.gamma) * t_next)]
        update = None
        if alpha_s != alpha_next:
            ratio = alpha_next / alpha_s
            update = Update(sqrt(alpha_next), noise=sqrt(ratio * (1 - alpha_s)), fresh=sqrt(1 - ratio))
        found.append(Step(t, alphas[t], alpha_next, update))
    return found
