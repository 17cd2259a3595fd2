"""A scheduler config means what the class that it names makes of it."""

import ast
from dataclasses import asdict
from pathlib import Path
from typing import Any

import diffusers
import pytest

from acdc.engine.models.diffusion.schedule import make_schedule
from acdc.engine.models.diffusion.scheduler_classes import ALL_READ, CLASSES, KNOWN
from acdc.engine.models.diffusion.scheduler_config import SchedulerConfig, unused_settings

SOURCES = Path(diffusers.__file__).parent / "schedulers"
# stabilityai/sd-turbo, scheduler/scheduler_config.json
SD_TURBO = {
    "_class_name": "EulerDiscreteScheduler",
    "_diffusers_version": "0.24.0.dev0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "set_alpha_to_one": False,
    "sigma_max": None,
    "sigma_min": None,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "trailing",
    "timestep_type": "discrete",
    "trained_betas": None,
    "use_karras_sigmas": False,
}


@pytest.mark.long
@pytest.mark.parametrize("name", CLASSES)
def test_fields_and_defaults_are_those_of_diffusers(name):
    """Read from its source: some of its classes are placeholders where an optional library is missing."""
    theirs, ours = signature(name), CLASSES[name]
    assert {*ALL_READ, *ours.reads} - {*ours.ignores} == set(theirs)
    found = asdict(SchedulerConfig()) | dict(ours.defaults)
    assert {key: found[key] for key in theirs if key in found} == {key: theirs[key] for key in theirs if key in found}


def test_sd_turbo_ends_at_clean_data():
    """Euler does not read set_alpha_to_one: its last noise level is zero."""
    config = SchedulerConfig.from_dict(SD_TURBO)
    assert make_schedule(config, 4).steps[-1].alpha_next == 1.0
    ddim = SchedulerConfig.from_dict(SD_TURBO | {"_class_name": "DDIMScheduler"})
    assert make_schedule(ddim, 4).steps[-1].alpha_next == pytest.approx(0.99915)


@pytest.mark.parametrize(
    ("name", "field", "value", "read"),
    [
        ("EulerDiscreteScheduler", "clip_sample", True, False),
        ("PNDMScheduler", "clip_sample", True, False),
        ("HeunDiscreteScheduler", "clip_sample", True, True),
        ("DPMSolverMultistepScheduler", "set_alpha_to_one", False, False),
        ("DDPMScheduler", "set_alpha_to_one", False, False),
        ("DDPMScheduler", "variance_type", "learned_range", True),
        ("DDIMScheduler", "variance_type", "learned_range", False),
        ("DDIMScheduler", "thresholding", True, True),
        ("PNDMScheduler", "set_alpha_to_one", True, True),
        ("EulerAncestralDiscreteScheduler", "final_sigmas_type", "sigma_min", False),
        ("UniPCMultistepScheduler", "final_sigmas_type", "sigma_min", True),
        ("DPMSolverSinglestepScheduler", "timestep_spacing", "trailing", False),
    ],
)
def test_only_what_the_class_reads_counts(name, field, value, read):
    plain = {"_class_name": name, "beta_schedule": "scaled_linear"}
    assert (SchedulerConfig.from_dict(plain | {field: value}) != SchedulerConfig.from_dict(plain)) == read


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("PNDMScheduler", "thresholding"),
        ("EulerDiscreteScheduler", "thresholding"),
        ("PNDMScheduler", "rescale_betas_zero_snr"),
        ("DDIMScheduler", "use_flow_sigmas"),
        ("EulerDiscreteScheduler", "use_dynamic_shifting"),
    ],
)
def test_a_switch_of_another_class_is_accepted(name, field):
    plain = {"_class_name": name}
    assert SchedulerConfig.from_dict(plain | {field: True}) == SchedulerConfig.from_dict(plain)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("DDIMScheduler", "rescale_betas_zero_snr", True),
        ("DDPMScheduler", "variance_type", "learned"),
        ("DDPMScheduler", "dynamic_thresholding_ratio", 1.5),
        ("DDPMScheduler", "sample_max_value", 0.5),
        ("DDPMScheduler", "rescale_betas_zero_snr", True),
        ("EulerDiscreteScheduler", "rescale_betas_zero_snr", True),
        ("DPMSolverMultistepScheduler", "use_flow_sigmas", True),
        ("UniPCMultistepScheduler", "shift_terminal", 0.1),
        ("EulerDiscreteScheduler", "timestep_type", "continuous"),
        ("PNDMScheduler", "trained_betas", [0.1, 0.2]),
        ("DDPMScheduler", "beta_schedule", "sigmoid"),
        ("EulerDiscreteScheduler", "made_up", 1),
    ],
)
def test_what_the_class_reads_and_ddim_cannot_honour_is_refused(name, field, value):
    with pytest.raises(ValueError, match=f"scheduler field {field}="):
        SchedulerConfig.from_dict({"_class_name": name, field: value})


@pytest.mark.parametrize("name", ["FlowMatchEulerDiscreteScheduler", "EDMEulerScheduler", "VQDiffusion", None, []])
def test_a_class_without_alpha_bars_is_refused(name):
    with pytest.raises(ValueError, match=r"scheduler class .* choose DDIMScheduler"):
        SchedulerConfig.from_dict({"_class_name": name})


@pytest.mark.long
@pytest.mark.parametrize("name", CLASSES)
def test_a_config_without_fields_has_the_defaults_of_its_class(name):
    theirs, config = signature(name), asdict(SchedulerConfig.from_dict({"_class_name": name}))
    for key, value in config.items():
        assert value == theirs.get(key, value), key
    assert config["clip_sample"] == theirs.get("clip_sample", False)
    assert config["set_alpha_to_one"] == theirs.get("set_alpha_to_one", True)


def test_spacings_of_another_solver_are_listed_once_the_class_has_them():
    asked = {"use_karras_sigmas": True, "sigma_max": 14.6, "sigma_min": None}
    assert unused_settings({"_class_name": "EulerDiscreteScheduler", **asked}) == [
        "use_karras_sigmas=True",
        "sigma_max=14.6",
    ]
    assert unused_settings({"_class_name": "DDIMScheduler", **asked}) == []
    assert {"use_karras_sigmas", "sigma_max", "use_lu_lambdas"} <= KNOWN


def signature(name: str) -> dict[str, Any]:
    """Field -> default of diffusers' ``name``."""
    for path in SOURCES.glob("scheduling_*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                (init,) = [f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"]
                names = [argument.arg for argument in init.args.args[1:]]
                return dict(zip(names, map(_default, init.args.defaults), strict=True))
    raise AssertionError(f"diffusers has no {name}")


def _default(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)  # -float("inf")
