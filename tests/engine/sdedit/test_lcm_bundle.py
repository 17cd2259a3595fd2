"""A bundle whose corrector is a distilled LCM: its directory alone decides the sampler, the steps and the one pass."""

from pathlib import Path

import numpy as np
import pytest
import torch

from acdc.compile.capture import capture_hazards
from acdc.compile.spec import StageSpec
from acdc.engine.engine import Engine
from acdc.engine.options import make_options
from acdc.engine.runtime.compiled import UNetPass
from acdc.engine.sdedit.correction import Correction
from acdc.engine.sdedit.fused import WholeCorrection
from tests.helpers.lcm_bundle import KEY, guided_lcm, lcm_bundle

SENTENCES = ["Benny the beagle sat in a garden.", "He ran."]


@pytest.fixture(scope="module")
def path(tiny_path, tmp_path_factory) -> Path:
    return guided_lcm(tiny_path, tmp_path_factory.mktemp("lcm") / "bundle")


@pytest.fixture(scope="module")
def engine(path):
    return Engine.from_pretrained(path)


def test_all_steps_run_from_the_strength_on(engine):
    drawn = engine.generate(SENTENCES, seed=3, num_inference_steps=4, strength=0.4)
    assert drawn.settings["sampler"] == "lcm"
    assert (drawn.start["timestep"], drawn.start["steps_run"]) == (399, 4)
    steps = engine.start(make_options(num_inference_steps=2, strength=0.4))
    assert (steps["timestep"], steps["steps_run"]) == (399, 2), "int(2 * 0.4) is 0, but LCM counts within its list"
    with pytest.raises(ValueError, match=r"exceeds the 25 timesteps up to strength 0\.5"):
        engine.generate(SENTENCES, num_inference_steps=50)


def test_guidance_is_an_input_and_the_negative_prompt_is_none(engine):
    def shown(**options):
        return engine.generate(SENTENCES[:1], seed=3, num_inference_steps=2, **options).images[0]

    plain = shown(guidance_scale=8.0)
    assert np.array_equal(plain, shown(guidance_scale=8.0, negative_prompt="fog"))
    assert not np.array_equal(plain, shown(guidance_scale=2.0))
    assert engine.embeds_guidance


@torch.no_grad()
@pytest.mark.toolchain
def test_the_whole_correction_and_a_pass_are_fit_for_plans(engine):
    options = make_options(num_inference_steps=2, guidance_scale=8.0).resolved(engine.defaults)
    corrector, tokenizer = engine.models.corrector, engine.models.tokenizer
    correction = Correction(corrector, options)
    pixels = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    conditioning, _ = correction.condition(["a cat", "a bear in snow"])
    kv = [value.contiguous() for pair in conditioning.kv for value in pair]
    assert len(kv[0]) == 2, "no branch without the prompt"
    whole = WholeCorrection(corrector, tokenizer, correction.schedule, 8.0)
    inputs = [pixels, *correction.noises(pixels, [3, 4], 1), *kv]
    shown, codes = whole(*inputs)
    assert torch.equal(shown, correction.run(pixels, conditioning, [3, 4], 1))
    assert torch.equal(codes, tokenizer.encode(shown))
    step = [torch.zeros(2, 4, 4, 4), correction.table[:1], *kv]
    assert capture_hazards(UNetPass(corrector.unet), StageSpec.of("unet", step)) == []


@pytest.mark.toolchain
def test_plans_draw_the_same_pictures(path, engine, tmp_path):
    from acdc.compile.cache import PlanCache

    planned = Engine.from_pretrained(path, backend="unet=openvino", cache=PlanCache(tmp_path))
    one, other = (run.generate(SENTENCES[:1], seed=3, num_inference_steps=2).images[0] for run in (engine, planned))
    assert abs(one.astype(int) - other.astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({}, f"key '{KEY}' is missing"),
        ({KEY: torch.zeros(16, 8)}, rf"key '{KEY}' has shape \[16, 8\], expected \[8, 16\]"),
    ],
)
def test_weights_that_do_not_fit_are_named(tiny_path, tmp_path, weights, words):
    with pytest.raises(ValueError, match=rf"diffusion_pytorch_model\.safetensors: {words}") as error:
        Engine.from_pretrained(lcm_bundle(tiny_path, tmp_path / "bundle", **weights))
    assert "\n" not in str(error.value)
