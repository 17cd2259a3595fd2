"""A denoising step after the network: the kernel, interpreted, against its reference, and that against the engine's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.engine.models.diffusion import schedule as diffusion
from acdc.engine.models.diffusion.scheduler_config import SchedulerConfig
from acdc.engine.models.diffusion.step import Step
from acdc.kernels import cfg_ddim as module
from acdc.kernels.cfg_ddim import BLOCK, PREDICTIONS, cfg_ddim, cfg_ddim_reference
from acdc.kernels.jit import on_triton

# Every operation is IEEE's and none is fused: equal bits. The interpreter cuts bfloat16 instead of rounding it.
TOLERANCE = {torch.float32: 0, torch.float16: 0, torch.bfloat16: 2**-7}
SHAPES = st.sampled_from([(1, 4, 1), (2, 4, 3, 5), (1, 4, 16, 16), (2, 3, 2, 5, 7), (1, 1, BLOCK), (3, 1, 1, 1)])
LEVELS = st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 1.0))


def near(found, wanted):
    assert found.dtype == wanted.dtype
    torch.testing.assert_close(found, wanted, rtol=TOLERANCE[wanted.dtype], atol=0, equal_nan=True)


def random(shape, dtype, seed, count):
    return [value.to(dtype) for value in torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))]


@given(
    shape=SHAPES,
    dtype=st.sampled_from(list(TOLERANCE)),
    prediction=st.sampled_from(PREDICTIONS),
    scale=st.sampled_from([1.0, 7.5, 0.0]),
    clip=st.sampled_from([None, 1.0, 0.3]),
    levels=LEVELS,
    kept=st.sampled_from([None, 0.7]),
    on_device=st.booleans(),
    blended=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_kernel_equals_reference(shape, dtype, prediction, scale, clip, levels, kept, on_device, blended, seed):
    latents, cond, uncond, original, noise = random(shape, dtype, seed, 5)
    assert on_triton(latents), "otherwise the reference would be compared with itself"
    levels = levels if kept is None else (*levels, kept)
    levels = torch.tensor(levels, dtype=torch.float64) if on_device else levels
    mask = torch.rand(shape[0], 1, *shape[2:], generator=torch.Generator().manual_seed(seed)).to(dtype)
    inpainting = (mask, original, noise) if blended else None
    inputs = (latents, cond, uncond, levels, scale, prediction, clip, inpainting)
    near(cfg_ddim(*inputs), cfg_ddim_reference(*inputs))


@given(
    prediction=st.sampled_from(PREDICTIONS),
    clip=st.booleans(),
    levels=LEVELS,
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_reference_is_the_engines(prediction, clip, levels, dtype, seed):
    latents, cond, uncond = random((2, 4, 3, 3), dtype, seed, 3)
    config = SchedulerConfig(prediction_type=prediction, clip_sample=clip, clip_sample_range=1.5)
    wanted, _ = diffusion.take_step(config, latents, diffusion.guide(cond, uncond, 4.0), Step(0, *levels))
    for given_levels in (levels, torch.tensor(levels, dtype=torch.float64)):
        inputs = (latents, cond, uncond, given_levels, 4.0, prediction, 1.5 if clip else None)
        for run in (cfg_ddim_reference, cfg_ddim):
            if given_levels is levels or dtype == torch.float32:
                assert torch.equal(run(*inputs), wanted)
            else:  # a tensor's power of 1/2 is a root, a number's is not: the last bit of float64
                torch.testing.assert_close(run(*inputs), wanted, rtol=1e-13, atol=1e-13)


def test_predictions_may_lie_as_the_network_leaves_them():
    """Both branches in one channels-last batch, or each in its own order."""
    latents, cond, uncond = random((2, 4, 5, 6), torch.float32, 0, 3)
    wanted = cfg_ddim_reference(latents, cond, uncond, (0.4, 0.6), 5.0)
    both = torch.cat((uncond, cond)).contiguous(memory_format=torch.channels_last)
    null, guided = both.chunk(2)
    assert not guided.is_contiguous()
    assert torch.equal(cfg_ddim(latents, guided, null, (0.4, 0.6), 5.0), wanted)
    assert torch.equal(cfg_ddim(latents, guided, uncond, (0.4, 0.6), 5.0), wanted)
    turned = latents.transpose(2, 3).contiguous().transpose(2, 3)
    found = cfg_ddim(turned, cond.transpose(2, 3).contiguous().transpose(2, 3), uncond, (0.4, 0.6), 5.0)
    assert torch.equal(found, wanted)
    assert found.is_contiguous()


@pytest.mark.parametrize("size", [(1, 1, 5, 6), (2, 1, 5, 6), (2, 4, 5, 6), (5, 6)])
def test_what_is_masked_out_stays_the_original(size):
    latents, cond, original, noise = random((2, 4, 5, 6), torch.float32, 1, 4)
    step = cfg_ddim(latents, cond, None, (0.4, 0.6))
    kept = diffusion.add_noise(original, noise, 0.6)
    mask = (torch.rand(size) < 0.5).float()
    for given_mask in (mask, mask.bool()):
        found = cfg_ddim(latents, cond, None, (0.4, 0.6), inpainting=(given_mask, original, noise))
        assert torch.equal(found, torch.where(mask.bool(), step, kept))
    legacy = cfg_ddim(latents, cond, None, (0.4, 0.6, 0.4), inpainting=(mask, original, noise))
    assert torch.equal(legacy, torch.where(mask.bool(), step, diffusion.add_noise(original, noise, 0.4)))
    last = cfg_ddim(latents, cond, None, (0.4, 1.0), inpainting=(mask * 0, original, noise))
    assert torch.equal(last, original)


def test_what_is_not_finite_stays_in_its_element_and_everything_is_written(monkeypatch):
    latents, cond = random((1, 4, 3, 3), torch.float32, 2, 2)
    latents[0, 0, 0, 0], cond[0, 1, 1, 1], latents[0, 2, 2, 2] = torch.nan, torch.nan, torch.inf
    wanted = cfg_ddim_reference(latents, cond, None, (0.4, 0.6), clip=1.0)

    def poisoned(value, memory_format=None):
        return torch.full(value.shape, torch.nan, dtype=value.dtype)

    monkeypatch.setattr(module.torch, "empty_like", poisoned)
    found = cfg_ddim(latents, cond, None, (0.4, 0.6), clip=1.0)
    near(found, wanted)
    assert found.isnan().sum() == 2
    assert found[0, 2, 2, 2].isfinite(), "clipped"


def test_no_stories():
    assert cfg_ddim(torch.empty(0, 4, 3, 3), torch.empty(0, 4, 3, 3), None, (0.4, 0.6)).shape == (0, 4, 3, 3)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"prediction_type": "flow"}, "prediction_type 'flow' is unknown; choose epsilon, v_prediction, sample"),
        ({"guidance_scale": 3.0}, "guidance_scale 3.0 needs the unconditional prediction"),
        ({"levels": (0.5,)}, "1 levels are not"),
    ],
)
def test_mistakes_are_named(setting, message):
    x = torch.zeros(1, 4, 2, 2)
    with pytest.raises(ValueError, match=message):
        cfg_ddim(x, x, None, **{"levels": (0.4, 0.6)} | setting)


def test_shapes_are_known_without_running():
    with torch.device("meta"):
        x, levels = torch.empty(2, 4, 8, 8, dtype=torch.float16), torch.empty(2, dtype=torch.float64)
        found = cfg_ddim(x, x, x, levels, 7.5, "v_prediction", 1.0, (x[:, :1], x, x))
    assert found.shape == x.shape
    assert found.dtype == torch.float16
