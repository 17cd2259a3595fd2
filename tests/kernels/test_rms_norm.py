"""The norm's kernel against its reference, interpreted on a CPU."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.kernels.rms_norm import add_rms_norm, add_rms_norm_reference, rms_norm, rms_norm_reference

# Sums of squares in another order move the quotient by a few units of float32, and so a rounding of float16; each of
# two roundings is a cut in the interpreter's bfloat16, a unit in the last place.
TOLERANCE = {torch.float32: 2e-6, torch.float16: 2**-10, torch.bfloat16: 2**-6}
SHAPES = st.sampled_from([(1, 1), (1, 7), (3, 50), (2, 3, 64), (1, 1, 129), (5, 1, 256)])


def near(found, wanted):
    assert found.dtype == wanted.dtype
    torch.testing.assert_close(found, wanted, rtol=TOLERANCE[wanted.dtype], atol=TOLERANCE[wanted.dtype])


@given(
    shape=SHAPES,
    dtype=st.sampled_from(list(TOLERANCE)),
    seed=st.integers(0, 99),
    scale=st.sampled_from([1e-3, 1.0, 50.0]),
)
@settings(max_examples=40, deadline=None)
def test_kernel_equals_reference(shape, dtype, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    x, residual = (torch.randn(2, *shape, generator=generator) * scale).to(dtype)
    weight = torch.randn(shape[-1], generator=generator).to(dtype)
    near(rms_norm(x, weight, 1e-6), rms_norm_reference(x, weight, 1e-6))
    (y, s), (wanted_y, wanted_s) = (run(x, residual, weight, 1e-6) for run in (add_rms_norm, add_rms_norm_reference))
    if dtype == torch.bfloat16:
        near(s, wanted_s)
    else:
        assert torch.equal(s, wanted_s), "one rounding of the same sum"
    near(y, wanted_y)


def test_strided_rows_and_no_rows():
    x = torch.randn(6, 4, 5).transpose(0, 1)
    assert not x.is_contiguous()
    near(rms_norm(x, torch.ones(5), 1e-6), rms_norm_reference(x, torch.ones(5), 1e-6))
    assert rms_norm(torch.empty(0, 5), torch.ones(5), 1e-6).shape == (0, 5)


def test_not_a_number_stays_in_its_row():
    x = torch.tensor([[1.0, float("nan"), 2.0], [3.0, float("inf"), 4.0], [1.0, 2.0, 3.0]])
    found, wanted = (run(x, torch.ones(3), 1e-6) for run in (rms_norm, rms_norm_reference))
    torch.testing.assert_close(found, wanted, equal_nan=True)
    assert found[0].isnan().all()
    assert found[2].isfinite().all()


def test_shapes_are_known_without_running():
    with torch.device("meta"):
        x, weight = torch.empty(2, 3, 8, dtype=torch.bfloat16), torch.empty(8)
    assert [value.shape for value in add_rms_norm(x, x, weight, 1e-6)] == [x.shape, x.shape]
    assert rms_norm(x, weight, 1e-6).dtype == torch.bfloat16
