"""Every sampler walks as diffusers' scheduler does: the same grid, and the same latents with the same noise."""

import math

import diffusers
import pytest
import torch
from diffusers.schedulers import (
    scheduling_ddpm,
    scheduling_euler_ancestral_discrete,
    scheduling_lcm,
    scheduling_tcd,
)
from hypothesis import given
from hypothesis import strategies as st

from acdc.engine.models.diffusion.samplers import SAMPLERS
from acdc.engine.models.diffusion.schedule import (
    add_noise,
    make_distilled_schedule,
    make_schedule,
    take_step,
)
from acdc.engine.models.diffusion.scheduler_classes import CLASS_OF
from acdc.engine.models.diffusion.scheduler_config import SchedulerConfig
from acdc.engine.options import SAMPLERS as NAMES
from acdc.engine.options import make_options
from acdc.engine.utils.least_strength import least_strength

NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
TOLERANCE = 5e-5
STEPS = (1, 2, 3, 4, 7, 8)
# specification: timesteps by (strength, N) of LCM's own rule, and the trailing grid of Euler by N
LCM_OWN = {
    (1.0, 1): "999",
    (1.0, 2): "999 499",
    (1.0, 4): "999 759 499 259",
    (1.0, 8): "999 879 759 639 499 379 259 139",
    (0.6, 1): "599",
    (0.6, 2): "599 299",
    (0.6, 4): "599 459 299 159",
    (0.6, 8): "599 539 459 379 299 239 159 79",
    (0.5, 1): "499",
    (0.5, 2): "499 259",
    (0.5, 4): "499 379 259 139",
    (0.5, 8): "499 439 379 319 259 199 139 79",
    (0.4, 1): "399",
    (0.4, 2): "399 199",
    (0.4, 4): "399 299 199 99",
    (0.4, 8): "399 359 299 259 199 159 99 59",
}
LCM_GENERIC = {2: "499", 4: "499 259", 8: "499 379 259 139"}
TRAILING = {
    1: "999",
    2: "999 499",
    3: "999 666 332",
    4: "999 749 499 249",
    6: "999 832 666 499 332 166",
    8: "999 874 749 624 499 374 249 124",
}
SIGMAS = {4: "14.6146 4.0817 1.6129 0.6932", 8: "14.6146 7.2974 4.0817 2.4925 1.6129 1.0690 0.6932 0.3977"}


def scheduler(name, **fields):
    return getattr(diffusers, CLASS_OF[name])(**NOISE | fields)


def config_of(theirs, **changes):
    return SchedulerConfig.from_dict({**theirs.config, "_class_name": type(theirs).__name__}, **changes)


def listed(schedule):
    return " ".join(str(step.timestep) for step in schedule.steps)


@pytest.mark.parametrize(("strength", "steps"), LCM_OWN)
def test_lcm_counts_the_strength_within_its_list(strength, steps):
    config = config_of(scheduler("lcm"))
    assert listed(make_distilled_schedule(config, steps, strength)) == LCM_OWN[strength, steps]


def test_generic_lists_are_the_specifications():
    config, run = (
        config_of(scheduler("lcm")),
        lambda n: make_options(num_inference_steps=n, strength=0.5).correction.num_steps_run,
    )
    assert {n: listed(make_schedule(config, n, run(n))) for n in LCM_GENERIC} == LCM_GENERIC


@pytest.mark.parametrize("name", ["euler", "euler-ancestral"])
def test_trailing_grids_are_the_specifications(name):
    config = config_of(scheduler(name, timestep_spacing="trailing", steps_offset=1))
    schedules = {steps: make_schedule(config, steps) for steps in TRAILING}
    assert {steps: listed(schedule) for steps, schedule in schedules.items()} == TRAILING
    for steps, wanted in SIGMAS.items():
        sigmas = [math.sqrt((1 - step.alpha) / step.alpha) for step in schedules[steps].steps]
        assert sigmas == pytest.approx([float(sigma) for sigma in wanted.split()], abs=5e-5)
        assert schedules[steps].steps[-1].alpha_next == 1.0


def network(latents, timestep):
    """Something that depends on everything a UNet sees, is not linear, and enlarges no rounding error: x0 is 14 times
    what epsilon leaves at timestep 999."""
    return 0.9 * latents + 0.1 * torch.sin(latents.flip(-1) + float(timestep) / 300)


def ours(config, start, noise, fresh, schedule):
    latents, before = add_noise(start, noise, schedule.start.alpha), None
    for number, step in enumerate(schedule.steps):
        prediction = network(latents, step.timestep)
        latents, before = take_step(config, latents, prediction, step, fresh[number], before)
    return latents


def theirs_with_our_noise(theirs, start, noise, fresh, monkeypatch, run, **how):
    """The last ``run`` steps as an img2img pipeline takes them; ``fresh[i]`` in the step that draws."""
    timesteps = theirs.timesteps[len(theirs.timesteps) - run :]
    if hasattr(theirs, "set_begin_index"):
        theirs.set_begin_index(len(theirs.timesteps) - run)
    latents = theirs.add_noise(start, noise, timesteps[:1])
    for number, timestep in enumerate(timesteps):
        for module in (scheduling_ddpm, scheduling_lcm, scheduling_tcd, scheduling_euler_ancestral_discrete):
            monkeypatch.setattr(module, "randn_tensor", lambda *_, value=fresh[number], **__: value)
        prediction = network(theirs.scale_model_input(latents, timestep), timestep)
        latents = theirs.step(prediction, timestep, latents, **how).prev_sample
    return latents


def draws(count):
    """Latents of an odd size, the noise of their start, and that of each step."""
    start, noise, *fresh = torch.randn(count + 2, 2, 4, 5, 7, generator=torch.Generator().manual_seed(0))
    return start, noise, fresh


CASES = [
    ("ddim", {"clip_sample": False, "steps_offset": 1, "set_alpha_to_one": False}),
    ("ddim", {"clip_sample": True, "timestep_spacing": "trailing"}),
    ("ddpm", {"clip_sample": False}),
    ("ddpm", {"variance_type": "fixed_large", "timestep_spacing": "trailing", "thresholding": True}),
    ("euler", {"timestep_spacing": "trailing", "steps_offset": 1}),
    ("euler", {"timestep_spacing": "leading", "steps_offset": 1, "final_sigmas_type": "sigma_min"}),
    ("euler", {"timestep_spacing": "linspace", "beta_schedule": "linear"}),
    ("euler-ancestral", {"timestep_spacing": "trailing"}),
    ("euler-ancestral", {"timestep_spacing": "linspace"}),
    ("lcm", {}),
    ("lcm", {"clip_sample": True, "original_inference_steps": 40, "timestep_scaling": 4.0}),
    ("tcd", {}),
    ("dpm-solver++", {"timestep_spacing": "trailing"}),
    ("dpm-solver++", {"timestep_spacing": "leading", "steps_offset": 1, "solver_type": "heun"}),
    ("dpm-solver++", {"final_sigmas_type": "sigma_min", "lower_order_final": False}),
    ("dpm-solver++", {"final_sigmas_type": "sigma_min", "euler_at_final": True, "lower_order_final": False}),
    ("dpm-solver++", {"solver_order": 1}),
    ("dpm-solver++", {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1}),
]


@pytest.mark.long
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize(("name", "fields"), CASES)
def test_any_run_of_steps_equals_diffusers(name, fields, prediction_type, monkeypatch):
    if (name, prediction_type) == ("euler-ancestral", "sample"):
        return check_ancestral_sample(fields)
    for steps in (*STEPS, 20):
        start, noise, fresh = draws(steps)
        for run in {steps, max(steps // 2, 1), 1}:
            theirs = scheduler(name, prediction_type=prediction_type, **fields)
            theirs.set_timesteps(steps)
            schedule = make_schedule(config_of(theirs), steps, run)
            assert [step.timestep for step in schedule.steps] == theirs.timesteps.tolist()[steps - run : steps]
            wanted = theirs_with_our_noise(theirs, start, noise, fresh, monkeypatch, run)
            found = ours(schedule.config, start, noise, fresh, schedule)
            torch.testing.assert_close(found, wanted, rtol=TOLERANCE, atol=TOLERANCE)


def check_ancestral_sample(fields):
    """diffusers has none: with a perfect x0 the last step gives it back."""
    config = config_of(scheduler("euler-ancestral", **fields), prediction_type="sample")
    start, noise, fresh = draws(1)
    step = make_schedule(config, 4, 1).start
    torch.testing.assert_close(take_step(config, noise, start, step, fresh[0])[0], start)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
def test_tcd_takes_its_gamma(gamma, monkeypatch):
    for steps in STEPS:
        start, noise, fresh = draws(steps)
        theirs = scheduler("tcd")
        theirs.set_timesteps(steps)
        config = config_of(theirs, gamma=gamma)
        schedule = make_schedule(config, steps)
        wanted = theirs_with_our_noise(theirs, start, noise, fresh, monkeypatch, steps, eta=gamma)
        torch.testing.assert_close(ours(config, start, noise, fresh, schedule), wanted, rtol=TOLERANCE, atol=TOLERANCE)
        assert schedule.drawing_steps == (() if gamma == 0 else tuple(range(steps - 1)))
        assert schedule.steps[-1].alpha_next == pytest.approx(0.99915), "its last step ends at the first alpha-bar"


@pytest.mark.parametrize("name", ["lcm", "tcd"])
@pytest.mark.parametrize("strength", [0.4, 0.5, 0.6, 1.0])
def test_the_distilled_rule_equals_diffusers(name, strength, monkeypatch):
    for steps in (1, 2, 4, 8):
        start, noise, fresh = draws(steps)
        theirs = scheduler(name)
        theirs.set_timesteps(steps, strength=strength)
        schedule = make_distilled_schedule(config_of(theirs), steps, strength)
        wanted = theirs_with_our_noise(theirs, start, noise, fresh, monkeypatch, steps)
        found = ours(schedule.config, start, noise, fresh, schedule)
        torch.testing.assert_close(found, wanted, rtol=TOLERANCE, atol=TOLERANCE)


def test_one_step_of_a_network_that_predicts_the_picture_is_its_answer():
    """SDXL-Lightning's 1-step UNet (x0) at its only timestep, 999."""
    config = config_of(scheduler("euler", timestep_spacing="trailing", prediction_type="sample"))
    latents, answer, _ = draws(0)
    (step,) = make_schedule(config, 1).steps
    assert step.timestep == 999
    assert torch.equal(take_step(config, latents, answer, step)[0], answer)


def test_one_name_and_one_class_for_each_sampler():
    assert tuple(SAMPLERS) == NAMES == tuple(sorted(CLASS_OF, key=NAMES.index))


def test_another_sampler_reads_the_config_as_its_own_class_would():
    turbo = {"_class_name": "EulerDiscreteScheduler", "set_alpha_to_one": False, "timestep_spacing": "trailing"}
    assert SchedulerConfig.from_dict(turbo).sampler == "euler"
    ddim = SchedulerConfig.from_dict(turbo, "ddim")
    assert (ddim.sampler, ddim.set_alpha_to_one) == ("ddim", True), "what the class reads, by DDIM"
    pndm = {"_class_name": "PNDMScheduler", "set_alpha_to_one": False, "skip_prk_steps": True, **NOISE}
    euler = SchedulerConfig.from_dict(pndm, "euler", timestep_spacing="trailing")
    assert (euler.sampler, euler.timestep_spacing, euler.set_alpha_to_one) == ("euler", "trailing", True)


@pytest.mark.parametrize(
    ("steps", "strength", "words"),
    [
        (8, 0.1, "exceeds the 5 timesteps up to strength 0.1 .*; choose at most 5 steps or strength 0.16 or more"),
        (4, 0.01, "exceeds the 0 timesteps up to strength 0.01 .*; choose strength 0.08 or more"),
        (60, 0.5, "exceeds the 25 timesteps .*; choose at most 25 steps$"),
        (60, 0.01, "exceeds the 0 timesteps .*; choose at most 50 steps$"),
    ],
)
def test_more_steps_than_an_lcm_was_distilled_at(steps, strength, words):
    with pytest.raises(ValueError, match=words) as error:
        make_distilled_schedule(config_of(scheduler("lcm")), steps, strength)
    assert "\n" not in str(error.value)


@given(steps=st.integers(1, 1000), share=st.floats(0.0, 1.0))
def test_an_advised_strength_runs_the_steps_that_it_is_advised_for(steps, share):
    run = max(1, int(steps * share))
    advised = float(least_strength(run, steps))
    assert 0 < advised <= 1
    assert int(steps * advised) == run, "a longer one would run more"


@given(steps=st.integers(1, 60), strength=st.floats(1e-4, 1.0))
def test_a_strength_without_a_step_is_refused_with_strengths_that_have_one(steps, strength):
    options = make_options(num_inference_steps=steps, strength=strength).correction
    if options.num_steps_run:
        assert options.check_steps_run() == options.num_steps_run
        return
    with pytest.raises(ValueError, match=f"leaves no step of {steps}; choose strength ") as error:
        options.check_steps_run()
    said = str(error.value).partition("choose strength ")[2]
    strengths, _, more = said.partition(", or ")
    found = [float(one) for one in strengths.replace(" or more", "").replace(" or ", ", ").split(", ")]
    runs = [int(steps * one) for one in found]
    assert runs == (list(range(1, steps + 1)) if steps <= 8 else [1])
    assert make_options(num_inference_steps=int(more.split()[0]), strength=strength).correction.num_steps_run == 1
