"""DDIM with eta 0: Song et al., "Denoising Diffusion Implicit Models" (arXiv 2010.02502), Eq. 12."""

from collections.abc import Sequence

import numpy as np

from ..scheduler_config import SchedulerConfig, alphas_cumprod
from ..step import Step


def timesteps(config: SchedulerConfig, num_inference_steps: int) -> list[float]:
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


def steps(config: SchedulerConfig, grid: Sequence[float], first: int = 0) -> list[Step]:
    """The steps from number ``first`` of the grid on. Each goes down by 1000 div N, whatever the grid's next point is,
    the last one to clean data or to the first alpha-bar (``set_alpha_to_one``)."""
    alphas = alphas_cumprod(config).tolist()
    final = 1.0 if config.set_alpha_to_one else alphas[0]
    stride = config.num_train_timesteps // len(grid)
    kept = [int(timestep) for timestep in grid[first:]]
    return [Step(t, alphas[t], alphas[t - stride] if t >= stride else final) for t in kept]
