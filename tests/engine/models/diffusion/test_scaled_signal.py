"""Models that were trained with a scaled signal (VideoCrafter2): what the network reads, and every sampler's steps."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch

from acdc.engine.loading.videocrafter2 import SIZES
from acdc.engine.models.diffusion.schedule import add_noise, make_schedule, take_step
from acdc.engine.models.diffusion.scheduler_config import SchedulerConfig, trained_alphas

SCHEDULER = SIZES["scheduler"]


def signal_scale(timestep: float) -> float:
    """s of the model's own config: 1 at 0, 0.7 from 399 on."""
    return 1 - 0.3 * min(timestep, 399) / 399


@pytest.mark.parametrize("sampler", ["ddim", "euler", "dpm-solver++"])
@pytest.mark.parametrize("steps", [8, 50])
def test_samplers_fed_the_true_noise_show_the_network_what_it_was_trained_on(sampler: str, steps: int) -> None:
    """x_t = sqrt(abar) s x0 + sqrt(1 - abar) eps at every step, down to abar of timestep 0, where s is 1."""
    config = SchedulerConfig.from_dict(SCHEDULER, sampler, set_alpha_to_one=False, timestep_spacing="leading")
    alphas = trained_alphas(config).tolist()
    generator = torch.Generator().manual_seed(0)
    x0, eps = (torch.randn(2, 3, 4, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    schedule = make_schedule(config, steps, steps // 2)
    latents, before = add_noise(x0, eps, schedule.start.alpha), None
    for step in schedule.steps:
        t = int(step.timestep)
        wanted = math.sqrt(alphas[t]) * signal_scale(t) * x0 + math.sqrt(1 - alphas[t]) * eps
        torch.testing.assert_close(latents * step.input_scale, wanted, rtol=1e-9, atol=1e-9)
        latents, before = take_step(config, latents, eps, step, before=before)
    end = math.sqrt(alphas[0]) * x0 + math.sqrt(1 - alphas[0]) * eps
    if sampler == "euler":  # its last latents are not brought to this scale
        end = end / math.sqrt(alphas[0])
    torch.testing.assert_close(latents, end, rtol=1e-9, atol=1e-9)


def test_a_step_is_the_published_formula() -> None:
    """x0 = (x - sqrt(1 - abar) e) / sqrt(abar) / s, x' = sqrt(abar') s' x0 + sqrt(1 - abar') e."""
    config = SchedulerConfig.from_dict(SCHEDULER)
    alphas = trained_alphas(config).tolist()
    x, e = torch.randn(2, 4, 8, 8, dtype=torch.float64), torch.randn(2, 4, 8, 8, dtype=torch.float64)
    steps = make_schedule(config, 50, 30).steps
    for step, after in pairwise(steps):
        t, s = int(step.timestep), int(after.timestep)
        x0 = (x - math.sqrt(1 - alphas[t]) * e) / math.sqrt(alphas[t]) / signal_scale(t)
        wanted = math.sqrt(alphas[s]) * signal_scale(s) * x0 + math.sqrt(1 - alphas[s]) * e
        found, clean = take_step(config, x / step.input_scale, e, step)
        torch.testing.assert_close(clean, x0, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found * after.input_scale, wanted, rtol=1e-9, atol=1e-9)


def test_other_models_read_their_latents_as_they_are() -> None:
    plain = {name: value for name, value in SCHEDULER.items() if not name.startswith("signal")}
    assert {step.input_scale for step in make_schedule(SchedulerConfig.from_dict(plain), 50).steps} == {1.0}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"signal_scale": 0}, "signal_scale=0 is out of range"),
        ({"signal_scale": 1.5}, "signal_scale=1.5 is out of range; expected more than 0, up to 1"),
        ({"signal_scale": "x"}, "signal_scale='x' is not of the kind of 1.0"),
        ({"signal_scale_steps": 1}, "signal_scale_steps=1 is out of range"),
        ({"prediction_type": "v_prediction"}, "signal_scale is not supported with prediction_type='v_prediction'"),
    ],
)
def test_impossible_values_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SchedulerConfig.from_dict({**SCHEDULER, **changes})
