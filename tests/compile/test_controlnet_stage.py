"""The ControlNet's pass as a stage of its own: what a CUDA graph replays, and an OpenVINO plan of it."""

import pytest
import torch

from acdc.compile.backends import compile_stage
from acdc.compile.cache import PlanCache
from acdc.compile.capture import capture_hazards
from acdc.compile.spec import StageSpec
from acdc.engine.engine import Engine
from acdc.engine.runtime.backends import STAGES, WHOLE
from acdc.engine.runtime.compiled import UNetPass, compile_models
from acdc.engine.runtime.planned_control import ControlPass, PlannedControl
from tests.helpers.tiny import tiny_controlnet


@pytest.fixture(scope="module")
def engine(tiny_path, tmp_path_factory):
    return Engine.from_pretrained(tiny_path, controlnet=tiny_controlnet(tmp_path_factory.mktemp("controlnet")))


@pytest.fixture(scope="module")
def stage(engine):
    """The pass of three frames with two branches, and its inputs."""
    control = engine.models.corrector.controlnet
    generator = torch.Generator().manual_seed(0)
    latents, text, picture = (
        torch.randn(shape, generator=generator) for shape in ((3, 4, 4, 4), (6, 7, 16), (3, 3, 16, 16))
    )
    with torch.no_grad():
        kv = [value.contiguous() for pair in control.context_kv(text) for value in pair]
        shifts = control.time_shifts(torch.tensor([321]))
        return ControlPass(control), [latents, shifts, control.hint(picture), *kv]


@pytest.mark.long
def test_a_cuda_graph_could_hold_it(stage):
    run, inputs = stage
    assert capture_hazards(run, StageSpec.of("controlnet", inputs)) == []


@pytest.mark.long
@torch.no_grad()
def test_as_a_plan_it_equals_eager(stage, tmp_path):
    run, inputs = stage
    spec = StageSpec.of("controlnet", inputs)
    found = compile_stage(run, spec, "openvino", PlanCache(tmp_path))(*inputs)
    for one, other in zip(found, run(*inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@torch.no_grad()
def test_it_runs_on_the_unets_backend(engine):
    """But int8 is fitted to the UNet's inputs without it."""
    eager = dict.fromkeys((*STAGES, WHOLE), "eager")
    own = engine.models.corrector.controlnet
    assert compile_models(engine.models, eager, PlanCache()).corrector.controlnet is own
    planned = compile_models(engine.models, eager | {"unet": "openvino"}, PlanCache()).corrector.controlnet
    assert (planned.network, planned.step.backend, planned.step.stage) == (own, "openvino", "controlnet")
    with pytest.raises(ValueError, match="unet=openvino-int8 is fitted to passes without a ControlNet"):
        compile_models(engine.models, eager | {"unet": "openvino-int8"}, PlanCache())


@torch.no_grad()
@pytest.mark.toolchain
def test_a_cuda_graph_could_hold_the_unet_that_reads_its_residuals(engine, stage):
    unet, (control, (latents, shifts, hint, *rest)) = engine.models.corrector.unet, stage
    kv = unet.context_kv(torch.zeros(6, 7, 16))
    residuals = control(latents, shifts, hint, *rest)
    inputs = [latents, unet.time_shifts(torch.tensor([321])), *(value.contiguous() for pair in kv for value in pair)]
    run = UNetPass(unet)
    assert capture_hazards(run, StageSpec.of("unet", [*inputs, *residuals])) == []
    assert not torch.equal(run(*inputs, *residuals), run(*inputs))


@torch.no_grad()
def test_a_planned_controlnet_takes_what_the_eager_one_takes(stage):
    run, (latents, shifts, hint, *rest) = stage
    kv = list(zip(rest[::2], rest[1::2], strict=True))
    found, eager = PlannedControl(run.network, run)(latents, shifts, hint, kv), run.network(latents, shifts, hint, kv)
    assert all(torch.equal(one, other) for one, other in zip(found, eager, strict=True))
