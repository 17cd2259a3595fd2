"""A linear layer for few rows: the kernel, interpreted, against its reference in float64; and how lossy packing is."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from acdc.kernels import weight_only_linear as module
from acdc.kernels.weight_only_linear import (
    PROGRAMS,
    check_capability,
    quantise,
    split_count,
    tile,
    weight_only_linear,
    weight_only_linear_reference,
)

# In units of sum |x| |w| + |bias|, which no order of sums exceeds. float32: a few units in the last place from as many
# sums. float16: y is rounded once, half a unit of 2^-10. bfloat16: the interpreter cuts it, a unit of 2^-7.
TOLERANCE = {torch.float32: 2**-21, torch.float16: 2**-10, torch.bfloat16: 2**-6.9}
KINDS = [None, ("int8", None), ("int8", 32), ("fp8", None)]
LWM = [(4096, 4096), (12288, 4096), (22016, 4096), (4096, 11008), (8448, 4096)]


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def packed(weight, kind):
    """(weight, scales) of that kind, or as it is."""
    return (weight, None) if kind is None else quantise(weight, *kind)


def near(x, weight, scales, bias):
    found = weight_only_linear(x, weight, scales, bias)
    assert found.dtype == x.dtype
    weight = weight.double() if scales is None else weight
    bias = None if bias is None else bias.double()
    wanted = weight_only_linear_reference(x.double(), weight, scales, bias)
    most = weight_only_linear_reference(
        x.double().abs(), *((weight.abs(), None) if scales is None else (weight.float().abs(), scales)), None
    )
    most = most if bias is None else most + bias.abs()
    assert found.shape == wanted.shape
    numbers = torch.finfo(x.dtype)
    denormal = (
        numbers.smallest_normal * numbers.eps
    )  # below the normal numbers they are that far apart: 2^-24 in float16
    assert bool(((found.double() - wanted).abs() <= TOLERANCE[x.dtype] * most + denormal).all())
    return found


@pytest.mark.long
@given(
    rows=st.sampled_from([1, 2, 3, 16, 17, 70]),
    outputs=st.sampled_from([1, 5, 33, 64, 70]),
    inputs=st.sampled_from([1, 7, 64, 150, 544]),
    kind=st.sampled_from(KINDS),
    dtype=st.sampled_from(list(TOLERANCE)),
    biased=st.booleans(),
    seed=st.integers(0, 99),
)
@example(rows=3, outputs=33, inputs=1, kind=None, dtype=torch.float16, biased=False, seed=93)  # products near 1e-5
@settings(max_examples=25, deadline=None)
def test_kernel_equals_reference(rows, outputs, inputs, kind, dtype, biased, seed):
    inputs = -(-inputs // 32) * 32 if kind == ("int8", 32) else inputs
    x = random(rows, inputs, seed=seed).to(dtype)
    weight, scales = packed(random(outputs, inputs, seed=seed + 1).to(dtype), kind)
    near(x, weight, scales, random(outputs, seed=seed + 2).to(dtype) if biased else None)
    found = weight_only_linear_reference(x, weight, scales)
    assert (found.shape, found.dtype) == ((rows, outputs), dtype)


@pytest.mark.long
@pytest.mark.parametrize("rows", [2, 5])
@pytest.mark.parametrize("programs", [1, 4, PROGRAMS])
def test_any_split_of_the_inputs_gives_the_same_bits_each_time(programs, rows, monkeypatch):
    """Buffers are NaN before they are written."""
    monkeypatch.setattr(module, "PROGRAMS", programs)
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *shape, **kind: empty(*shape, **kind).fill_(float("nan")))
    x, weight, bias = random(rows, 600), random(20, 600), random(20)
    assert torch.equal(near(x, weight, None, bias), weight_only_linear(x, weight, None, bias))
    near(x, *quantise(weight, "int8"), bias)
    near(x[:, :576], *quantise(weight[:, :576], "int8", 64), bias)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul")
@pytest.mark.parametrize("kind", KINDS)
def test_rows_do_not_know_of_one_another(kind):
    """A row's bits do not depend on its neighbours, nor on their number within one tile."""
    weight, scales = packed(random(40, 256), kind)
    x = random(16, 256)
    whole = weight_only_linear(x, weight, scales)
    assert torch.equal(weight_only_linear(x[:5], weight, scales), whole[:5])
    assert torch.equal(weight_only_linear(x[:2], weight, scales)[:1], weight_only_linear(x[:1], weight, scales))
    x[3, 7], x[4, 9] = float("nan"), float("inf")
    found = weight_only_linear(x, weight, scales)
    assert found[3].isnan().all()
    assert not found[4].isfinite().any()
    untouched = [row for row in range(16) if row not in (3, 4)]
    assert torch.equal(found[untouched], whole[untouched])
    pair = weight_only_linear(x[2:4], weight, scales)
    assert pair[0].isfinite().all()
    assert pair[1].isnan().all()


@pytest.mark.long
@pytest.mark.parametrize("rows", [2, 16])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_every_packed_number_is_read_as_it_is(dtype, rows):
    """All of int8 and of e4m3 but NaN, by rows of the identity."""
    for kind in (torch.int8, torch.float8_e4m3fn):
        numbers = torch.arange(256).to(torch.uint8).view(kind)
        numbers = numbers[numbers.float().isfinite()]
        x = torch.eye(rows, 16).to(dtype)
        weight = numbers.view(torch.uint8).repeat(16, 1).T.contiguous().view(kind)  # a channel a number
        found = weight_only_linear(x, weight, torch.ones(len(numbers)))
        assert torch.equal(found, numbers.float().to(dtype).expand(rows, -1))


@given(
    kind=st.sampled_from(KINDS[1:]),
    dtype=st.sampled_from(list(TOLERANCE)),
    scale=st.sampled_from([1e-6, 0.02, 1.0, 5.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_packing_loses_half_a_step_at_most(kind, dtype, scale, seed):
    weight = (random(12, 96, seed=seed) * scale * 10 ** random(12, 1, seed=seed).clamp(-2, 2)).to(dtype)
    weight[3] = 0
    weight[4, 1:] = 0
    found, scales = quantise(weight, *kind)
    weight, each = weight.double(), scales.double().repeat_interleave(96 // scales[0].numel()).view(12, 96)
    rebuilt = found.double() * each
    half_step = each / 2 if kind[0] == "int8" else torch.maximum(weight.abs() / 16, each / 1024)
    half_step *= 1 + 2**-15  # a quotient of up to 127 steps is rounded to float32 before it is rounded to a step
    assert bool(((weight - rebuilt).abs() <= half_step).all())
    assert bool((rebuilt[3] == 0).all())
    assert scales.isfinite().all()
    assert bool((scales > 0).all())
    x = random(2, 96, seed=seed)
    lost = (weight_only_linear(x, found, scales).double() - x.double() @ weight.T).abs()
    rounding = 2**-21 * (x.double().abs() @ weight.abs().T)
    assert bool((lost <= x.double().abs() @ half_step.T + rounding).all())


def test_a_group_keeps_an_outlier_to_itself():
    weight = random(8, 256)
    weight[:, 5] = 50.0
    x = random(2, 256)
    wanted = x @ weight.T
    whole, parted = (weight_only_linear(x, *quantise(weight, "int8", group)) for group in (None, 128))
    assert (parted - wanted).abs().mean() < 0.8 * (whole - wanted).abs().mean()


def test_strided_inputs_and_parts_of_a_joint_weight():
    joint, hidden = random(96, 64), random(2, 9, 64)
    for part in joint.split((32, 48, 16)):
        near(hidden[:, -1], part, None, None)
        near(hidden[..., ::2], part[:, :32], None, None)
        assert torch.equal(
            weight_only_linear(hidden, part), weight_only_linear(hidden.flatten(0, 1), part).view(2, 9, -1)
        )
    assert weight_only_linear(hidden[:, :0], joint).shape == (2, 0, 96)


def test_float64_stays_exact():
    x, weight = random(2, 64).double(), random(8, 64).double()
    assert torch.equal(weight_only_linear(x, weight), torch.nn.functional.linear(x, weight))
    found, scales = quantise(weight, "int8")
    torch.testing.assert_close(weight_only_linear(x, found, scales), x @ (found * scales[:, None].double()).T)


def test_shapes_are_known_without_running():
    x, (weight, scales) = random(2, 3, 64).half(), quantise(random(8, 64), "int8", 32)
    assert weight.shape == (8, 64)
    assert scales.shape == (8, 2)
    fake = weight_only_linear(x.to("meta"), weight.to("meta"), scales.to("meta"))
    found = weight_only_linear(x, weight, scales)
    assert (fake.shape, fake.stride(), fake.dtype) == (found.shape, found.stride(), found.dtype)


def test_refusals():
    weight = random(4, 96)
    with pytest.raises(ValueError, match="unknown kind of weights 'int4'; choose among int8, fp8"):
        quantise(weight, "int4")
    with pytest.raises(
        ValueError, match="int8 of 96 inputs in groups of 64; int8 takes 32, 64, 128, 256 that divide them"
    ):
        quantise(weight, "int8", 64)
    with pytest.raises(ValueError, match="fp8 of 96 inputs in groups of 32; int8 takes 32"):
        quantise(weight, "fp8", 32)
    with pytest.raises(ValueError, match=r"a weight \[4, 96\] with NaN or infinity cannot become int8"):
        quantise(weight.masked_fill(weight > 1, float("inf")), "int8")
    found, scales = quantise(weight, "int8")
    with pytest.raises(
        ValueError, match=r"weights of torch.int8 without scales for x of torch.float32; choose x's type"
    ):
        weight_only_linear(random(1, 96), found)
    with pytest.raises(ValueError, match=r"weights of torch.float16 with scales for x of torch.float16"):
        weight_only_linear(random(1, 96).half(), weight.half(), scales)
    with pytest.raises(ValueError, match=r"fp8 weights need compute capability 8.9, this GPU has 8.0; choose int8"):
        check_capability(torch.float8_e4m3fn, (8, 0))
    check_capability(torch.float8_e4m3fn, (9, 0))
    check_capability(torch.int8, (8, 0))


@pytest.mark.parametrize(("outputs", "inputs"), LWM)
@pytest.mark.parametrize("weight_bytes", [1, 2])
@pytest.mark.parametrize("rows", [1, 2, 3, 16, 64])
def test_programs_fill_the_gpu_at_the_sizes_of_lwm(rows, weight_bytes, outputs, inputs):
    chosen = tile(rows, 2, weight_bytes)
    down, blocks = -(-outputs // chosen.outputs), -(-inputs // chosen.inputs)
    splits = split_count(down, blocks)
    assert chosen.dot == (rows > 2)
    assert chosen.rows >= rows
    assert down * splits > 132
    assert splits == 1 or down * splits <= PROGRAMS


@given(
    rows=st.integers(1, 300), weight_bytes=st.sampled_from([1, 2, 4]), group=st.sampled_from([None, 32, 64, 128, 256])
)
def test_tiles_are_powers_of_two_within_a_group(rows, weight_bytes, group):
    for x_bytes in (2, 4):
        chosen = tile(rows, x_bytes, weight_bytes, group)
        for size in chosen[1:4]:
            assert size & (size - 1) == 0
        assert not chosen.dot or min(chosen[1:4]) >= 16
        assert group is None or group % chosen.inputs == 0
