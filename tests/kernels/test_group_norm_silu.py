"""The group norm's kernels against their reference, interpreted on a CPU."""

from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.kernels import group_norm_silu as module
from acdc.kernels.group_norm_silu import TILE, WHOLE, group_norm_silu, group_norm_silu_reference, plan

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the interpreter's, of numbers that are masked

# For values of order 1. float32: sums in another order. float16: a sum may round to the neighbour, then the norm and
# SiLU each once more. bfloat16: sums are exact (see `arguments`), the interpreter cuts the norm and SiLU, a unit of
# 2**-7 each at most, and SiLU's slope is at most 1.1.
TOLERANCE = {torch.float32: 1e-5, torch.float16: 2**-8, torch.bfloat16: 2**-6}
LAYOUTS = [torch.contiguous_format, torch.channels_last]
MAPS = [  # B, C, groups, h, w
    (1, 1, 1, 1, 2),
    (1, 6, 2, 1, 1),
    (2, 6, 3, 3, 5),
    (1, 10, 1, 4, 4),
    (2, 9, 3, 7, 3),
    (1, 8, 8, 9, 2),
]


@contextmanager
def small_tiles():
    """Two launches, of several splits and several tiles each, at sizes that an interpreter can take."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"WHOLE": 1, "TILE": 32, "RUN": 6}.items():
            patch.setattr(module, name, value)
        yield


@contextmanager
def whole_groups():
    yield


WAYS = [whole_groups, small_tiles]


def arguments(shape, layout=torch.contiguous_format, dtype=torch.float32, shift="none", seed=0, mean=0.5):
    """x, groups, weight, bias, eps, shift.

    In bfloat16 x and shift are multiples of 1/16, so that their sum is exact. The interpreter cuts bfloat16 where the
    reference rounds: a sum that is a unit off is one of weight/deviation off in the norm, which may be any number."""
    batch, channels, groups, *size = shape
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, channels, *size, generator=generator) + mean
    weight, bias = torch.randn(2, channels, generator=generator).to(dtype)
    table = torch.randn(batch, 3 * channels, generator=generator)
    if dtype == torch.bfloat16:
        x, table = (torch.round(16 * value) / 16 for value in (x, table))
        assert x.abs().max() + table.abs().max() <= 16, "of 8 bits"
    x, table = x.to(dtype).contiguous(memory_format=layout), table.to(dtype)[:, channels : 2 * channels]
    return x, groups, weight, bias, 1e-5, {"none": None, "one": table[:1], "each": table}[shift]


def near(found, wanted):
    assert found.dtype == wanted.dtype
    torch.testing.assert_close(found, wanted, rtol=TOLERANCE[wanted.dtype], atol=TOLERANCE[wanted.dtype])


@pytest.mark.long
@given(
    shape=st.sampled_from(MAPS),
    layout=st.sampled_from(LAYOUTS),
    dtype=st.sampled_from(list(TOLERANCE)),
    shift=st.sampled_from(["none", "one", "each"]),
    silu=st.booleans(),
    way=st.sampled_from(WAYS),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_kernel_equals_reference(shape, layout, dtype, shift, silu, way, seed):
    inputs = arguments(shape, layout, dtype, shift, seed)
    x, groups = inputs[:2]
    if x[0].numel() == groups:  # torch refuses a variance of one number, which is 0: then the result is silu(bias)
        wanted = inputs[3][None, :, None, None].expand_as(x)
        wanted = torch.nn.functional.silu(wanted) if silu else wanted
    else:
        wanted = group_norm_silu_reference(*inputs, silu)
    with way():
        found = group_norm_silu(*inputs, silu)
    near(found, wanted)
    assert found.is_contiguous(memory_format=layout)


@pytest.mark.long
@pytest.mark.parametrize("layout", LAYOUTS)
def test_several_splits_of_several_tiles(layout):
    inputs = arguments((1, 6, 2, 9, 31), layout, shift="each")
    with small_tiles():
        tile = plan(2, 3, 279, layout == torch.channels_last)
        assert tile.splits > 2
        assert tile.chunk > 2 * tile.rows
        assert 279 % tile.chunk % tile.rows
        near(group_norm_silu(*inputs), group_norm_silu_reference(*inputs))


@pytest.mark.parametrize("shift", ["none", "each"])
def test_roundings_are_those_of_the_reference(shift):
    inputs = arguments((1, 6, 2, 9, 31), dtype=torch.float16, shift=shift)
    # A quarter of the numbers would differ, were the norm not rounded before SiLU.
    assert (group_norm_silu(*inputs) == group_norm_silu_reference(*inputs)).float().mean() > 0.99


@pytest.mark.parametrize("way", WAYS)
def test_the_sum_is_rounded_before_it_is_measured(way):
    x = (2100 + 2 * torch.randint(20, (1, 4, 5, 6))).half()  # neighbours are 2 apart, so a shift of .9 is lost
    with way():
        plain, shifted = (
            group_norm_silu(x, 2, torch.ones(4).half(), torch.zeros(4).half(), 1e-5, shift)
            for shift in (None, torch.tensor([[0.9, -0.9, 0.9, 0.5]]).half())
        )
    assert torch.equal(plain, shifted)


@pytest.mark.parametrize("way", WAYS)
def test_a_large_mean_costs_no_digits_of_the_variance(way):
    x, *rest = arguments((1, 4, 2, 12, 12), mean=4000.0)
    wanted = group_norm_silu_reference(x.double(), rest[0], *(value.double() for value in rest[1:3]), 1e-5)
    with way():
        found = group_norm_silu(x, *rest)
    # The mean itself is known to a unit of float32 at 4,000, 2.4e-4; mean(x^2) - mean(x)^2 would be off by about 1.
    torch.testing.assert_close(found.double(), wanted, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("way", WAYS)
def test_equal_numbers_have_no_variance(way):
    x = torch.full((1, 4, 3, 5), 0.1)
    with way():
        found = group_norm_silu(x, 2, torch.ones(4), torch.full((4,), 2.0), 1e-5, None, False)
    torch.testing.assert_close(found, torch.full_like(x, 2.0), rtol=1e-4, atol=0)


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("special", [float("nan"), float("inf"), -float("inf")])
def test_not_a_number_and_infinity_stay_in_their_group(way, layout, special):
    inputs = arguments((2, 6, 3, 3, 5), layout)
    inputs[0][0, 3, 1, 2] = special
    with way():
        found = group_norm_silu(*inputs)
    torch.testing.assert_close(found, group_norm_silu_reference(*inputs), equal_nan=True, rtol=1e-5, atol=1e-5)
    assert found[0, 2:4].isnan().all()
    assert found.isfinite().sum() == found.numel() - 2 * 15


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
def test_parts_and_repetitions_of_maps(way):
    _, groups, weight, bias, eps, _ = arguments((2, 6, 3, 4, 5))
    whole = torch.randn(2, 18, 4, 5).contiguous(memory_format=torch.channels_last)
    turned = torch.randn(2, 6, 5, 4).transpose(2, 3)
    for x in (whole[:, 6:12], whole[:1, :6].expand(2, 6, 4, 5), whole[:, 12:, ::2, 1:], turned):
        with way():
            found = group_norm_silu(x, groups, weight, bias, eps)
        near(found, group_norm_silu_reference(x, groups, weight, bias, eps))
        layout = torch.contiguous_format if x is turned else torch.channels_last
        assert found.is_contiguous(memory_format=layout)
        torch.library.opcheck(
            group_norm_silu, (x, groups, weight, bias, eps), test_utils=("test_schema", "test_faketensor")
        )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_number_is_written(way, layout, monkeypatch):
    for name in ("empty", "empty_like"):
        make = getattr(torch, name)
        poisoned = lambda *args, make=make, **options: make(*args, **options).fill_(float("nan"))  # noqa: E731
        monkeypatch.setattr(torch, name, poisoned)
    with way():
        assert group_norm_silu(*arguments((2, 9, 3, 7, 3), layout, shift="one")).isfinite().all()


def test_no_pictures():
    assert group_norm_silu(torch.empty(0, 6, 3, 3), 2, torch.ones(6), torch.ones(6), 1e-5).shape == (0, 6, 3, 3)


def test_float64_goes_through_the_reference():
    inputs = arguments((2, 6, 3, 3, 5), dtype=torch.float64, shift="each")
    assert torch.equal(group_norm_silu(*inputs), group_norm_silu_reference(*inputs))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_shapes_are_known_without_running(layout):
    inputs = arguments((2, 6, 3, 3, 5), layout, torch.bfloat16, "one")
    found = group_norm_silu(*(value.to("meta") if isinstance(value, torch.Tensor) else value for value in inputs))
    assert (found.shape, found.dtype, found.stride()) == (inputs[0].shape, torch.bfloat16, inputs[0].stride())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({0: torch.ones(6, 4)}, r"four dimensions \[B, C, h, w\], not \[6, 4\]"),
        ({1: 4}, "groups 4 is not a divisor of 6 channels"),
        ({1: 0}, "groups 0 is not a divisor of 6 channels"),
        ({2: torch.ones(5)}, r"weight \[5\] and bias \[6\] must be \[6\]"),
        ({3: torch.ones(6, 1)}, r"bias \[6, 1\] must be \[6\]"),
        ({5: torch.ones(3, 6)}, r"shift \[3, 6\] .* must be \[2 or 1, 6\]"),
        ({5: torch.ones(2, 6, dtype=torch.float64)}, r"float64 must be .* torch.float32"),
    ],
)
def test_what_does_not_fit_is_refused(changed, message):
    inputs = list(arguments((2, 6, 3, 3, 5)))
    for place, value in changed.items():
        inputs[place] = value
    with pytest.raises(ValueError, match=message):
        group_norm_silu(*inputs)


@given(
    groups=st.sampled_from([1, 3, 8, 32]),
    channels=st.integers(1, 512),
    positions=st.integers(1, 2**18),
    last=st.booleans(),
)
def test_plans_cover_a_map_with_tiles_that_fit(groups, channels, positions, last):
    tile = plan(groups, channels, positions, last)
    width = 1 << (channels - 1).bit_length()
    assert tile.rows & (tile.rows - 1) == tile.together & (tile.together - 1) == tile.warps & (tile.warps - 1) == 0
    assert (tile.splits - 1) * tile.chunk < positions <= tile.splits * tile.chunk
    assert 1 <= tile.warps <= 16
    assert tile.together < 2 * groups
    if tile.whole:
        assert positions <= tile.rows
        assert tile.rows * width <= WHOLE
        assert tile.together == tile.splits == 1
    else:
        assert tile.rows * width * tile.together <= TILE
        assert tile.chunk % tile.rows == 0
        assert tile.splits <= module.MAX_SPLITS


def test_plans_of_the_published_systems():
    once = [(320, 32), (640, 16), (1920, 16), (1280, 8), (2560, 8), (1280, 4)]  # SD 1.5 at 256 px
    twice = [(640, 32), (960, 32), (320, 64), (640, 64), (960, 64), (128, 256)]  # and at 512 px; VQGAN
    for channels, side in once:
        assert plan(32, channels // 32, side * side, True).whole
    for channels, side in twice:
        tile = plan(32, channels // 32, side * side, True)
        assert not tile.whole
        assert tile.splits * 32 // tile.together >= 132, "as many programs as a GPU has multiprocessors"
        assert tile.together * channels // 32 >= 64, "runs of 128 bytes of bfloat16"
