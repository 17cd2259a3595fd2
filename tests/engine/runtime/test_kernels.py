"""Our kernels in the models' places, interpreted on the CPU: the same stories by the margin rule."""

import pytest
import torch

from acdc.compile.capture import capture_hazards
from acdc.compile.spec import StageSpec
from acdc.engine.engine import Engine
from acdc.engine.examples import EXAMPLES
from acdc.engine.models.diffusion.schedule import make_schedule
from acdc.engine.models.diffusion.scheduler_config import SchedulerConfig
from acdc.engine.models.layers.kernels import KERNELS, UsesTriton, check_kernels
from acdc.engine.options import StoryOptions
from acdc.engine.sdedit.correct import step_on, step_on_by_kernel
from acdc.kernels import jit
from tests.helpers.margin import check_same_story
from tests.helpers.stages import stages

SENTENCES = ["Benny the beagle sat in a garden.", "He ran."]


@pytest.fixture(scope="module")
def kernel_engine(tiniest_path):
    """Few codes a frame: the interpreter runs one program after another."""
    return Engine.from_pretrained(tiniest_path, kernels="triton")


@pytest.fixture(scope="module")
def plain_engine(tiniest_path):
    return Engine.from_pretrained(tiniest_path)


@pytest.mark.slow  # half a minute
def test_stories_are_the_same_by_the_margin_rule(plain_engine, kernel_engine):
    chosen = {"num_inference_steps": 2, "seed": 3}
    check_same_story(
        plain_engine, plain_engine.generate(SENTENCES, **chosen), kernel_engine.generate(SENTENCES, **chosen)
    )


@pytest.mark.slow
def test_the_embedded_story_is_the_same():
    chosen = {"num_inference_steps": 4, "seed": 1}
    plain, ours = (Engine.from_pretrained("storyworld", kernels=kernels) for kernels in KERNELS)
    sentences = EXAMPLES["benny"][:2]
    check_same_story(plain, plain.generate(sentences, **chosen), ours.generate(sentences, **chosen))


@torch.no_grad()
@pytest.mark.toolchain
def test_stages_equal_plain_ones_and_are_safe_to_capture(plain_engine, kernel_engine):
    both = zip(stages(plain_engine, 1), stages(kernel_engine, 1), strict=True)
    for (name, plain, inputs), (_, ours, own) in both:  # a pass's noise is another input where a kernel draws it
        wanted, found = ((v,) if isinstance(v, torch.Tensor) else v for v in (plain(*inputs), ours(*own)))
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}")
        assert capture_hazards(ours, StageSpec.of(name, own)) == [], name


def test_everything_that_can_has_changed_and_the_story_says_so(plain_engine, kernel_engine):
    def functions(engine):
        arm, tokenizer, corrector, _ = engine.models
        for model in (arm.model, tokenizer, corrector.vae, corrector.unet):
            for module in model.modules():
                if isinstance(module, UsesTriton):
                    yield from (str(value) for value in vars(module).values() if callable(value))

    plain, ours = list(functions(plain_engine)), list(functions(kernel_engine))
    assert len(plain) == len(ours) > 20
    assert not any("acdc::" in text for text in plain)
    kernels = {text for text in ours if "acdc::" in text}
    for name in ("rms_norm", "swiglu", "geglu", "group_norm_silu", "codebook_nearest"):
        assert any(f"acdc::{name}" in text for text in kernels), name
    assert kernel_engine.settings(StoryOptions())["kernels"] == "triton"


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize(("scale", "clip"), [(1.0, False), (5.0, True)])
def test_steps_by_the_kernel_are_plain_steps(prediction_type, scale, clip):
    config = SchedulerConfig(prediction_type=prediction_type, clip_sample=clip)
    latents, prediction = torch.randn(2, 4, 3, 5), torch.randn(2 if scale == 1.0 else 4, 4, 3, 5)
    given = (config, latents, prediction, scale, make_schedule(config, 10, 4).start)
    torch.testing.assert_close(step_on_by_kernel(*given), step_on(*given)[0], rtol=1e-5, atol=1e-5)


def test_every_reason_is_said_in_one_line(monkeypatch, tiny_path):
    backends = {"unet": "openvino", "vae_encoder": "tensorrt", "arm_draw": "openvino"}
    monkeypatch.setattr(jit, "installed", lambda: False)
    with pytest.raises(ValueError, match="kernels 'triton' cannot run") as error:
        check_kernels("triton", backends, "cpu", torch.float64)
    said = str(error.value)
    for part in (
        "pip install 'acdc-engine[triton]'",
        "not on cpu",
        "not float64",
        "backend 'openvino' cannot",
        "'tensorrt'",
    ):
        assert part in said
    assert "\n" not in said
    with pytest.raises(ValueError, match="unknown kernels 'cuda'; choose one of torch, triton"):
        Engine.from_pretrained(tiny_path, kernels="cuda")
    check_kernels("torch", backends, "cpu", torch.float64)
    assert KERNELS == ("torch", "triton")
