"""Samplers by name: the timesteps of each, and its steps as weights of linear combinations (``step.py``)."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..scheduler_config import SchedulerConfig
from ..step import Step
from . import ddim, ddpm, dpm_solver, euler, euler_ancestral, lcm, tcd


class Sampler(NamedTuple):
    """``timesteps(config, N)`` is the full grid from noise to data; ``steps(config, grid, first)`` are its steps from
    number ``first`` on."""

    timesteps: Callable[[SchedulerConfig, int], list[float]]
    steps: Callable[[SchedulerConfig, Sequence[float], int], list[Step]]


SAMPLERS: Mapping[str, Sampler] = {
    name: Sampler(module.timesteps, module.steps)
    for name, module in (
        ("ddim", ddim),
        ("ddpm", ddpm),
        ("euler", euler),
        ("euler-ancestral", euler_ancestral),
        ("lcm", lcm),
        ("tcd", tcd),
        ("dpm-solver++", dpm_solver),
    )
}
