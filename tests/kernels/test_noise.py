"""Noising in one pass: the kernel, interpreted, against its reference, and that against the engine's own functions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.engine.models.diffusion import schedule as diffusion
from acdc.engine.utils.rng import Purpose, make_keys, normal
from acdc.kernels import noise as module
from acdc.kernels.jit import on_triton
from acdc.kernels.noise import BLOCK, add_noise, add_noise_reference

# Equal numbers, but for a normal's rounding once in 2^28 draws; the interpreter cuts bfloat16 instead of rounding.
TOLERANCE = {torch.float32: 2**-22, torch.float16: 2**-10, torch.bfloat16: 2**-7}
SHAPES = st.sampled_from([(1, 1), (1, 4, 3, 5), (2, 4, 8, 8), (3, 7), (1, BLOCK), (1, BLOCK + 1), (2, 3, 5, 7, 11)])


def near(found, wanted):
    assert found.dtype == wanted.dtype
    torch.testing.assert_close(found, wanted, rtol=TOLERANCE[wanted.dtype], atol=0)
    if wanted.dtype != torch.bfloat16:
        assert (found != wanted).sum() <= 1


@pytest.mark.long
@given(
    shape=SHAPES,
    dtype=st.sampled_from(list(TOLERANCE)),
    alpha=st.floats(0, 1),
    on_device=st.sampled_from([None, torch.float64, torch.float32]),
    seed=st.integers(0, 2**64 - 8),
)
@settings(max_examples=25, deadline=None)
def test_kernel_equals_reference(shape, dtype, alpha, on_device, seed):
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(seed % 1000)).to(dtype)
    keys = make_keys(range(seed, seed + shape[0]), 3, Purpose.NOISE)
    assert on_triton(latents), "otherwise the reference would be compared with itself"
    level = alpha if on_device is None else torch.tensor([alpha], dtype=on_device)
    near(add_noise(latents, keys, level), add_noise_reference(latents, keys, level))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_reference_is_the_engines(dtype):
    latents, keys = torch.randn(2, 4, 6, 5, dtype=dtype), make_keys([7, 2**63], 1, Purpose.NOISE)
    wanted = diffusion.add_noise(latents, normal(keys, (4, 6, 5)), 0.3)
    for level in (0.3, torch.tensor(0.3, dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64)):
        assert torch.equal(add_noise_reference(latents, keys, level), wanted)
    assert torch.equal(add_noise(latents.double(), keys, 0.3), add_noise_reference(latents.double(), keys, 0.3))


def test_a_storys_noise_does_not_depend_on_its_neighbours():
    latents, keys = torch.zeros(3, 4, 5, 5), make_keys([1, 2, 3], 0, Purpose.NOISE)
    together = add_noise(latents, keys, 0.5)
    assert torch.equal(add_noise(latents[1:2], keys[1:2], 0.5)[0], together[1])


def test_the_ends_of_the_schedule():
    latents, keys = torch.randn(1, 40), make_keys([1], 0, Purpose.NOISE)
    for level in (1.0, torch.tensor(1.0)):
        assert torch.equal(add_noise(latents, keys, level), latents)
    assert torch.equal(add_noise(latents, keys, 0.0), normal(keys, (40,)))


def test_not_a_number_stays_in_its_element_and_everything_is_written(monkeypatch):
    latents = torch.randn(2, 6, 5).transpose(1, 2)
    assert not latents.is_contiguous()
    latents[0, 0, 0], latents[1, 2, 3] = torch.nan, torch.inf
    keys = make_keys([1, 2], 0, Purpose.NOISE)
    monkeypatch.setattr(module.torch, "empty_like", lambda value: torch.full(value.shape, torch.nan, dtype=value.dtype))
    found = add_noise(latents, keys, 0.5)
    torch.testing.assert_close(found, add_noise_reference(latents, keys, 0.5), rtol=2**-22, atol=0, equal_nan=True)
    assert found.isnan().sum() == 1
    assert found[1, 2, 3] == torch.inf


def test_no_stories_and_refusals():
    keys = make_keys([1], 0, Purpose.NOISE)
    assert add_noise(torch.empty(0, 4), keys[:0], 0.5).shape == (0, 4)
    with pytest.raises(ValueError, match=r"alpha 1.5 is out of range; choose 0 \(all noise\) to 1"):
        add_noise(torch.zeros(1, 4), keys, 1.5)


def test_shapes_are_known_without_running():
    with torch.device("meta"):
        latents, keys = torch.empty(2, 4, 8, 8, dtype=torch.bfloat16), torch.empty(2, 4, dtype=torch.int64)
        found = add_noise(latents, keys, torch.empty(1))
    assert found.shape == latents.shape
    assert found.dtype == torch.bfloat16
