"""The norm's kernel against its reference, interpreted on a CPU."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from acdc.kernels.rms_norm import add_rms_norm, add_rms_norm_reference, rms_norm, rms_norm_reference

# Sums of squares in another order move the quotient by a few units of float32, and so a rounding of float16. A rounding
# to bfloat16 is a cut in the interpreter, up to a unit in the last place (2^-7) below the reference's: the quotient and
# the product make two. A residual's sum makes a third, and its mean square, cut as well, moves the quotient once more.
CUT = 2**-7
TOLERANCE = {torch.float32: 2e-6, torch.float16: 2**-10, torch.bfloat16: 2 * CUT}
SHAPES = st.sampled_from([(1, 1), (1, 7), (3, 50), (2, 3, 64), (1, 1, 129), (5, 1, 256)])


def near(found, wanted, cuts=2):
    assert found.dtype == wanted.dtype
    tolerance = cuts * CUT if wanted.dtype == torch.bfloat16 else TOLERANCE[wanted.dtype]
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=TOLERANCE[wanted.dtype])


@pytest.mark.long
@given(
    shape=SHAPES,
    dtype=st.sampled_from(list(TOLERANCE)),
    seed=st.integers(0, 99),
    scale=st.sampled_from([1e-3, 1.0, 50.0]),
)
@example(shape=(5, 1, 256), dtype=torch.bfloat16, seed=16, scale=50.0)  # three cuts that add up
@settings(max_examples=40, deadline=None)
def test_kernel_equals_reference(shape, dtype, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    x, residual = (torch.randn(2, *shape, generator=generator) * scale).to(dtype)
    weight = torch.randn(shape[-1], generator=generator).to(dtype)
    near(rms_norm(x, weight, 1e-6), rms_norm_reference(x, weight, 1e-6))
    (y, s), (wanted_y, wanted_s) = (run(x, residual, weight, 1e-6) for run in (add_rms_norm, add_rms_norm_reference))
    if dtype == torch.bfloat16:
        near(s, wanted_s, cuts=1)
    else:
        assert torch.equal(s, wanted_s), "one rounding of the same sum"
    near(y, wanted_y, cuts=4)


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
