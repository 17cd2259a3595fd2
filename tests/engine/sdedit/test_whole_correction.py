"""The whole correction as one function against the stages one after another."""

import pytest
import torch

from acdc.compile.backends import compile_stage
from acdc.compile.cache import PlanCache
from acdc.compile.capture import capture_hazards
from acdc.compile.spec import StageSpec
from acdc.engine.engine import Engine
from acdc.engine.options import SAMPLERS, make_options
from acdc.engine.sdedit.correction import Correction
from acdc.engine.sdedit.fused import WholeCorrection
from tests.helpers.margin import check_same_story

SEEDS = [3, 4, 5]
SENTENCES = ["Benny the beagle sat in a garden.", "He ran.", "Benny slept near a log."]


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """One folder for the module, so that a plan is built once."""
    return PlanCache(tmp_path_factory.mktemp("plans"))


def pieces(engine, guidance_scale, sampler="ddim"):
    """(module, its inputs, what the stages give) for three frames and two steps."""
    options = make_options(num_inference_steps=4, guidance_scale=guidance_scale, sampler=sampler)
    options = options.resolved(engine.defaults)
    _, tokenizer, corrector, _ = engine.models
    correction = Correction(corrector, options)
    conditioning, _ = correction.condition(["a cat", "a bear in snow", ""])
    side = tokenizer.config.resolution
    pixels = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pixels = pixels.to(tokenizer.codebook.weight.dtype)
    shown = correction.run(pixels, conditioning, SEEDS, 1)
    whole = WholeCorrection(corrector, tokenizer, correction.schedule, guidance_scale)
    kv = [value.contiguous() for pair in conditioning.kv for value in pair]
    return whole, [pixels, *correction.noises(pixels, SEEDS, 1), *kv], (shown, tokenizer.encode(shown))


@pytest.mark.parametrize(("guidance_scale", "sampler"), [(1.0, "ddim"), *((5.0, name) for name in SAMPLERS)])
@torch.no_grad()
def test_it_is_the_stages_one_after_another(tiny_engine, guidance_scale, sampler):
    whole, inputs, (shown, codes) = pieces(tiny_engine, guidance_scale, sampler)
    found, found_codes = whole(*inputs)
    assert torch.equal(found, shown)
    assert torch.equal(found_codes, codes)


@pytest.mark.parametrize("sampler", ["ddim", pytest.param("lcm", marks=pytest.mark.slow)])
@torch.no_grad()
@pytest.mark.toolchain
def test_as_one_plan_it_equals_eager(tiny_engine, plans, sampler):
    whole, inputs, (shown, _) = pieces(tiny_engine, 5.0, sampler)
    spec = StageSpec.of("correction", inputs)
    found, codes = compile_stage(whole, spec, "openvino", plans)(*inputs)
    torch.testing.assert_close(found, shown, rtol=0, atol=2e-4)
    assert torch.equal(codes, tiny_engine.models.tokenizer.encode(found)), "the codes of its own pixels"


@pytest.mark.parametrize(
    ("guidance_scale", "sampler"),
    [(5.0, "ddim"), *(pytest.param(1.0, name, marks=pytest.mark.slow) for name in ("ddim", "lcm"))],
)
@torch.no_grad()
@pytest.mark.toolchain
def test_one_cuda_graph_could_hold_it(tiny_engine, guidance_scale, sampler):
    whole, inputs, _ = pieces(tiny_engine, guidance_scale, sampler)
    assert capture_hazards(whole, StageSpec.of("correction", inputs)) == []


@pytest.mark.toolchain
@pytest.mark.parametrize(
    "options",
    [
        {"guidance_scale": 5.0},
        pytest.param({"guidance_scale": 1.0}, marks=pytest.mark.slow),
        pytest.param({"sample_posterior": True, "correct_every": 2}, marks=pytest.mark.slow),
    ],
)
def test_stories_with_one_plan_are_the_same_by_the_margin_rule(tiny_path, tiny_engine, plans, options):
    """The plan of three rows serves every frame of the stories; its codes are those of the pixels that it shows."""
    engine = Engine.from_pretrained(tiny_path, backend="correction=openvino", cache=plans)
    chosen = {"num_inference_steps": 4, **options}
    before = len(list(plans.entries()))
    three = engine.generate_batch([SENTENCES] * 3, seeds=SEEDS, **chosen)
    for seed, found in zip(SEEDS, three, strict=True):
        check_same_story(tiny_engine, tiny_engine.generate(SENTENCES, seed=seed, **chosen), found)
    assert len(list(plans.entries())) <= before + 1
