"""The mathematics of the correction: schedules equal diffusers', DDIM is exact where it must be."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acdc.engine.models.diffusion.samplers.ddim import timesteps as all_timesteps
from acdc.engine.models.diffusion.schedule import add_noise, make_schedule, take_step
from acdc.engine.models.diffusion.scheduler_config import PREDICTIONS, SPACINGS, SchedulerConfig, alphas_cumprod

STABLE_DIFFUSION = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
}


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("betas", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("to_one", [True, False])
def test_schedule_and_step_equal_diffusers(spacing, betas, to_one):
    from diffusers import DDIMScheduler

    raw = STABLE_DIFFUSION | {"timestep_spacing": spacing, "beta_schedule": betas, "set_alpha_to_one": to_one}
    raw |= {"steps_offset": 1 if spacing == "leading" else 0}
    for prediction_type in PREDICTIONS:
        for steps in (1, 7, 50):
            theirs = DDIMScheduler(**raw, prediction_type=prediction_type)
            theirs.set_timesteps(steps)
            config = SchedulerConfig.from_dict(dict(theirs.config))
            ours = make_schedule(config, steps)
            assert [s.timestep for s in ours.steps] == theirs.timesteps.tolist()
            latents, prediction = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.ones(1)
            for step in (ours.steps[0], ours.steps[-1]):
                expected = theirs.step(prediction.expand_as(latents), step.timestep, latents).prev_sample
                found, _ = take_step(config, latents, prediction, step)
                torch.testing.assert_close(found, expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("total", "offset"), [(1000, 0), (1000, 1), (50, 0), (777, 0)])
def test_timesteps_of_every_number_of_steps_equal_diffusers(spacing, total, offset):
    """Ties included: at trailing 48 the grid value 687.5 rounds where diffusers' arithmetic puts it."""
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler(num_train_timesteps=total, steps_offset=offset, timestep_spacing=spacing)
    config = SchedulerConfig.from_dict(dict(theirs.config))
    one_too_many = []
    for steps in range(1, total + 1):
        theirs.set_timesteps(steps)
        wanted = theirs.timesteps.tolist()
        if wanted[0] >= total:
            with pytest.raises(ValueError, match="leave the"):
                all_timesteps(config, steps)
            continue
        if wanted[-1] < 0:
            one_too_many.append(wanted.pop())
        assert all_timesteps(config, steps) == wanted, steps
        assert len(wanted) == steps
    assert set(one_too_many) <= {-1}
    assert spacing == "trailing" or not one_too_many


@given(steps=st.integers(1, 200), share=st.floats(0.01, 1.0), spacing=st.sampled_from(SPACINGS))
def test_truncated_schedule_is_the_tail_of_the_full_one(steps, share, spacing):
    config = SchedulerConfig.from_dict(STABLE_DIFFUSION | {"timestep_spacing": spacing, "steps_offset": 0})
    run = min(int(steps * share), steps)
    full, truncated = make_schedule(config, steps), make_schedule(config, steps, run)
    assert truncated.steps == full.steps[steps - run :]
    assert len(truncated.steps) == run


@pytest.mark.parametrize("prediction_type", PREDICTIONS)
@pytest.mark.parametrize("to_one", [True, False])
def test_ddim_fed_the_true_noise_ends_at_the_final_alpha(prediction_type, to_one):
    """x_t = sqrt(a) x0 + sqrt(1-a) eps stays on that line all the way down, whatever the network predicts."""
    config = SchedulerConfig.from_dict(
        STABLE_DIFFUSION | {"prediction_type": prediction_type, "set_alpha_to_one": to_one}
    )
    generator = torch.Generator().manual_seed(1)
    x0, eps = (torch.randn(2, 4, 8, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    schedule = make_schedule(config, 50, 25)
    latents = add_noise(x0, eps, schedule.start.alpha)
    for step in schedule.steps:
        truth = {
            "epsilon": eps,
            "sample": x0,
            "v_prediction": math.sqrt(step.alpha) * eps - math.sqrt(1 - step.alpha) * x0,
        }[prediction_type]
        latents, _ = take_step(config, latents, truth, step)
    final = 1.0 if to_one else float(alphas_cumprod(config)[0])
    torch.testing.assert_close(latents, add_noise(x0, eps, final), rtol=1e-10, atol=1e-10)


def test_start_is_where_diffusers_starts():
    schedule = make_schedule(SchedulerConfig.from_dict(STABLE_DIFFUSION), 50, 25)
    assert schedule.start.timestep == 481
    assert schedule.start.alpha == pytest.approx(float(alphas_cumprod(schedule.config)[481]))


@pytest.mark.parametrize(
    ("field", "value"),
    [("prediction_type", "flow"), ("timestep_spacing", "random"), ("beta_schedule", "sigmoid"),
     ("rescale_betas_zero_snr", True), ("trained_betas", [0.1]), ("made_up", 1)],
)  # fmt: skip
def test_unsupported_scheduler_fields_are_named(field, value):
    with pytest.raises(ValueError, match=field):
        SchedulerConfig.from_dict(STABLE_DIFFUSION | {field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("num_train_timesteps", 0), ("num_train_timesteps", -5), ("num_train_timesteps", 10**9), ("steps_offset", -1),
     ("steps_offset", 1000), ("beta_start", 0.0), ("beta_start", -0.1), ("beta_end", 1), ("beta_end", 2),
     ("beta_start", math.nan), ("beta_end", math.nan), ("beta_end", math.inf), ("clip_sample_range", 0),
     ("clip_sample_range", -1.0), ("clip_sample_range", math.nan)],
)  # fmt: skip
def test_scheduler_fields_out_of_range_are_named(field, value):
    with pytest.raises(ValueError, match=rf"^scheduler field {field}=.* is out of range; expected [^\n]*$"):
        SchedulerConfig.from_dict(STABLE_DIFFUSION | {field: value})


@pytest.mark.parametrize("value", ["1000", None, True, [0.1], {}])
@pytest.mark.parametrize("field", ["num_train_timesteps", "beta_start", "steps_offset", "clip_sample_range"])
def test_scheduler_fields_of_another_kind_are_named(field, value):
    with pytest.raises(ValueError, match=f"scheduler field {field}="):
        SchedulerConfig.from_dict(STABLE_DIFFUSION | {field: value})


def test_betas_that_leave_no_signal_are_named():
    with pytest.raises(ValueError, match=r"beta_start=0.9, beta_end=0.9 leave no signal"):
        SchedulerConfig.from_dict(STABLE_DIFFUSION | {"beta_start": 0.9, "beta_end": 0.9})


def test_more_steps_than_training_timesteps():
    with pytest.raises(ValueError, match="1001"):
        make_schedule(SchedulerConfig(), 1001)
