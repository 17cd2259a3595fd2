"""The gated activations' kernel against its reference, interpreted on a CPU."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from acdc.kernels import gated
from acdc.kernels.gated import block_size, geglu, geglu_reference, swiglu, swiglu_reference

# Relative error, and absolute error as a share of the largest number. exp and erf are another library's, and 1 + erf of
# a g that nears -5.5, where it vanishes, keeps few digits in either: two units of 2^-24, times g / 2, in every type.
# PyTorch computes contiguous tensors by oneDNN, whose erf is formula 7.1.26 of Abramowitz and Stegun: 1.5e-7 off.
# float16: the activation may round to the neighbour, and then the product; where it is subnormal that is 2^-24 more.
# bfloat16: both roundings are cuts in the interpreter, a unit in the last place each.
VANISHING = (2 * 2**-24 + 1.5e-7) * 5.5 / 2
TOLERANCE = {
    torch.float32: (1e-6, VANISHING),
    torch.float16: (2**-9, VANISHING + 2**-24),
    torch.bfloat16: (2**-6, VANISHING),
}
SHAPES = st.sampled_from([(1,), (1, 1), (1, 7), (3, 50), (2, 3, 64), (1, 1, 129), (2, 1, 1030)])
PAIRS = [(swiglu, swiglu_reference), (geglu, geglu_reference)]


def near(found, wanted, largest):
    rtol, atol = TOLERANCE[wanted.dtype]
    torch.testing.assert_close(found, wanted, rtol=rtol, atol=atol * max(1.0, float(largest)))


def random(*shape, seed=0, dtype=torch.float32, scale=1.0):
    return (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale).to(dtype)


@given(
    shape=SHAPES,
    dtype=st.sampled_from(list(TOLERANCE)),
    seed=st.integers(0, 99),
    scale=st.sampled_from([1e-3, 1.0, 8.0]),
    pair=st.sampled_from(PAIRS),
)
@example(shape=(2, 1, 1030), dtype=torch.float16, seed=84, scale=8.0, pair=PAIRS[1])  # 1 + erf(-5.2)
@example(shape=(1, 7), dtype=torch.float32, seed=0, scale=8.0, pair=PAIRS[1])  # oneDNN's erf(-2.28)
@settings(max_examples=40, deadline=None)
def test_kernel_equals_reference(shape, dtype, seed, scale, pair):
    first, second = random(2, *shape, seed=seed, dtype=dtype, scale=scale)
    function, reference = pair
    near(function(first, second), reference(first, second), max(first.abs().max(), second.abs().max()))


@pytest.mark.parametrize("pair", PAIRS)
def test_roundings_are_those_of_the_reference(pair):
    first, second = random(2, 20, 500, seed=3, dtype=torch.float16)
    function, reference = pair
    # A quarter of the numbers would differ, were the activation not rounded before it is multiplied.
    assert (function(first, second) == reference(first, second)).float().mean() > 0.99


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("shape", [(3, 10), (1, 34), (2, 3, 64), (2, 1, 600)])
def test_halves_of_one_product_are_read_in_place(pair, shape, monkeypatch):
    function, reference = pair
    halves = random(*shape).chunk(2, -1)
    wanted = reference(*halves)
    seen = []
    kernel = gated._kernel

    class Spy:
        def __getitem__(self, grid):
            return lambda first, second, *rest, **options: (
                seen.extend((first.data_ptr(), second.data_ptr())),
                kernel[grid](first, second, *rest, **options),
            )

    monkeypatch.setattr(gated, "_kernel", Spy())
    found = function(*halves)
    near(found, wanted, 4)
    assert found.is_contiguous()
    assert sorted(seen) == [half.data_ptr() for half in halves], "the kernel was given the halves themselves"


@pytest.mark.parametrize("pair", PAIRS)
def test_any_strides(pair):
    function, reference = pair
    columns, apart = random(5, 6, seed=1).T, random(2, 3, 4, 7, seed=2)[:, :, ::2].transpose(0, 1)
    skipping = random(4, 18, seed=3)[:, ::2]
    for x in (columns, apart, skipping, random(1, 9, seed=4).expand(3, 9)):
        found = function(x, x.flip(0))
        near(found, reference(x, x.flip(0)), 4)
        assert found.is_contiguous()


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0,)])
def test_nothing(shape):
    assert swiglu(torch.empty(shape), torch.empty(shape)).shape == shape


def restated(first, second, reference):
    """The definition in operations that every CPU library rounds to the same infinities and NaNs."""
    value, gate = (first, second) if reference is geglu_reference else (second, first)
    g = gate.float()
    active = 0.5 * g * (1 + torch.erf(g * 0.5**0.5)) if reference is geglu_reference else g / (1 + torch.exp(-g))
    return value * active.to(value.dtype)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the interpreter's
def test_not_a_number_and_infinities_as_in_the_reference(pair, dtype):
    special = torch.tensor([float("nan"), float("inf"), -float("inf"), -200.0, 200.0, 0.0, 1.0], dtype=dtype)
    first, second = (part.flatten() for part in torch.meshgrid(special, special, indexing="ij"))
    function, reference = pair
    wanted = restated(first, second, reference)
    torch.testing.assert_close(function(first, second), wanted, equal_nan=True, rtol=2**-6, atol=1e-6)
    usual = ~torch.isposinf(second if reference is geglu_reference else first)  # see `gated` for gelu's
    torch.testing.assert_close(reference(first, second)[usual], wanted[usual], equal_nan=True, rtol=2**-6, atol=1e-6)


@pytest.mark.parametrize("pair", PAIRS)
def test_every_number_is_written(pair, monkeypatch):
    empty_like = torch.empty_like
    monkeypatch.setattr(torch, "empty_like", lambda *args, **options: empty_like(*args, **options).fill_(float("nan")))
    assert pair[0](*random(3, 2 * 261).chunk(2, -1)).isfinite().all()


def test_float64_goes_through_the_reference():
    first, second = random(2, 3, 5, dtype=torch.float64)
    for function, reference in PAIRS:
        assert torch.equal(function(first, second), reference(first, second))


def test_shapes_are_known_without_running():
    x = torch.empty(2, 3, 16, dtype=torch.bfloat16, device="meta")
    for function, _ in PAIRS:
        found = function(*x.chunk(2, -1))
        assert (found.shape, found.dtype, found.is_contiguous()) == ((2, 3, 8), torch.bfloat16, True)
        torch.library.opcheck(function, tuple(random(3, 8).chunk(2, -1)), test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize("other", [torch.empty(2, 4), torch.empty(2, 3, dtype=torch.float16), torch.empty(3)])
def test_parts_that_do_not_match_are_refused(other):
    for function, _ in PAIRS:
        with pytest.raises(ValueError, match=r"must have the same shape and type"):
            function(torch.empty(2, 3), other)


@given(st.integers(1, 20000))
def test_blocks_leave_few_threads_idle(size):
    block = block_size(size)
    padded = -(-size // block) * block
    assert block <= 1024
    assert block & (block - 1) == 0
    assert padded < 2 * size if size < 256 else padded - size < 256 or 8 * (padded - size) <= padded


def test_blocks_of_the_published_systems():
    assert {size: block_size(size) for size in (11008, 1280, 2560, 5120)} == {
        11008: 1024,
        1280: 256,
        2560: 512,
        5120: 1024,
    }
