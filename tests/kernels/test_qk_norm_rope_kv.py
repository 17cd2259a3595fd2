"""Norms, rotary embedding and cache write in one kernel against their reference, interpreted on a CPU."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.engine.models.kv_cache import KVCache
from acdc.engine.models.layers.rotary import Rotary, rotate
from acdc.kernels import qk_norm_rope_kv as module
from acdc.kernels.qk_norm_rope_kv import (
    WEIGHTS_OF,
    heads_block,
    heads_of,
    qk_norm_rope_kv,
    qk_norm_rope_kv_reference,
    rotate_reference,
)

# For values of order 1. Without a norm products and sums are the reference's own: equal bits, but for the interpreter's
# cut to bfloat16, a unit in the last place. With one, sums of squares run in another order, float16 may round to the
# neighbour at each of two or three roundings, and bfloat16 is cut at each.
EXACT = {torch.float32: 0.0, torch.float16: 0.0, torch.bfloat16: 2**-7}
NORMED = {torch.float32: 1e-5, torch.float16: 2**-8, torch.bfloat16: 2**-5}
SIZES = [  # R, H, W, D, rotary_dim
    (1, 1, 1, 2, 2),
    (2, 3, 1, 8, 8),
    (1, 2, 5, 6, 4),
    (2, 5, 3, 20, 12),
    (1, 9, 2, 64, 32),
]
FORMS = ["fused", "apart", "heads first", "every other"]
CAPACITY, TABLE = 11, 16


def angles(rotary_dim):
    """float64 [TABLE, rotary_dim / 2]"""
    frequencies = 7.0 ** (-torch.arange(rotary_dim // 2, dtype=torch.float64) * 2 / rotary_dim)
    return torch.arange(TABLE)[:, None] * frequencies


def tables(rotary_dim, interleaved, wide=torch.float32):
    """cos and sin of TABLE positions, as the kernel's module describes them."""
    angle = angles(rotary_dim)
    cos, sin = angle.cos().to(wide), angle.sin().to(wide)
    if interleaved:
        return torch.stack((cos, cos), -1).flatten(1), torch.stack((-sin, sin), -1).flatten(1)
    return torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)


def projected(sizes, form, dtype, generator):
    """q, k and v [R, H, W, D], lying in memory as ``form`` says."""
    rows, heads, tokens, size = sizes
    if form == "fused":
        return heads_of(torch.randn(rows, tokens, 3 * heads * size, generator=generator).to(dtype), heads)
    if form == "apart":
        parts = torch.randn(3, rows, tokens, heads, size, generator=generator).to(dtype)
        return tuple(part.transpose(1, 2) for part in parts)
    if form == "heads first":
        q, k, v = torch.randn(3, rows, heads, tokens, size, generator=generator).to(dtype)
        return q, k.transpose(0, 1).contiguous().transpose(0, 1), v
    return tuple(torch.randn(3, rows, heads, tokens, 2 * size, generator=generator).to(dtype)[..., ::2])


def arguments(sizes, form="fused", dtype=torch.float32, interleaved=True, norm="none", seed=0, starts=None):
    """(q, k, v, cos, sin, positions), the options; cache buffers are NaN so that what is written shows."""
    *shape, rotary_dim = sizes
    rows, _, tokens, size = shape
    generator = torch.Generator().manual_seed(seed)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    if starts is None:
        starts = torch.randint(0, CAPACITY - tokens + 1, (rows,), generator=generator)
    positions = torch.as_tensor(starts)[:, None] + torch.arange(tokens)
    options = {"interleaved": interleaved, "norm": norm, "eps": 1e-5}
    options |= {name: torch.randn(size, generator=generator).to(dtype) for name in WEIGHTS_OF[norm]}
    return (*projected(shape, form, dtype, generator), *tables(rotary_dim, interleaved, wide), positions), options


def buffers(inputs, capacity=CAPACITY):
    rows, heads, _, size = inputs[0].shape
    return torch.full((2, rows, heads, capacity, size), float("nan"), dtype=inputs[0].dtype).unbind()


def both(inputs, options):
    """(q, keys, values) of the kernel and of the reference."""
    results = []
    for function in (qk_norm_rope_kv, qk_norm_rope_kv_reference):
        cache = buffers(inputs)
        results.append((function(*inputs, *cache, **options), *cache))
    return results


@pytest.mark.long
@given(
    sizes=st.sampled_from(SIZES),
    form=st.sampled_from(FORMS),
    dtype=st.sampled_from(list(EXACT)),
    interleaved=st.booleans(),
    norm=st.sampled_from(list(WEIGHTS_OF)),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_kernel_equals_reference(sizes, form, dtype, interleaved, norm, seed):
    inputs, options = arguments(sizes, form, dtype, interleaved, norm, seed)
    (q, keys, values), (wanted_q, wanted_keys, wanted_values) = both(inputs, options)
    tolerance = (EXACT if norm == "none" else NORMED)[dtype]
    for found, wanted in ((q, wanted_q), (keys, wanted_keys)):
        assert found.dtype == dtype
        torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)
    assert torch.equal(values.nan_to_num(9), wanted_values.nan_to_num(9)), "copied"
    assert q.is_contiguous()
    written = torch.zeros(len(q), CAPACITY, dtype=torch.bool).scatter_(1, inputs[5], True)
    for buffer in (keys, values):
        assert torch.equal(buffer.isfinite().all(-1).all(1), written)
        assert torch.equal(buffer.isfinite().any(-1).any(1), written), "nothing but the slots is touched"


@pytest.mark.parametrize("function", [qk_norm_rope_kv, qk_norm_rope_kv_reference])
def test_apart_the_buffers_hold_the_new_tokens_alone(function):
    inputs, options = arguments((2, 3, 4, 8, 8), starts=[2, 5])
    cache, alone = buffers(inputs), buffers(inputs, capacity=4)
    q = function(*inputs, *cache, **options)
    assert torch.equal(function(*inputs, *alone, **options, apart=True), q)
    for whole, few in zip(cache, alone, strict=True):
        for row, start in enumerate((2, 5)):
            assert torch.equal(whole[row, :, start : start + 4], few[row])


@pytest.mark.parametrize("norm", ["rms", "layer"])
def test_roundings_are_those_of_the_reference(norm):
    inputs, options = arguments((2, 9, 5, 64, 32), dtype=torch.float16, norm=norm)
    (q, *_), (wanted, *_) = both(inputs, options)
    # A sixth of the numbers would differ, were one of the norm's roundings left out.
    assert (q == wanted).float().mean() > 0.99


def test_a_gpu_may_not_fuse_products_and_sums(monkeypatch):
    """An interpreter cannot: the launch options are all that can be seen here."""
    inputs, options = arguments((1, 2, 1, 8, 8))
    options, kernel = {}, module._kernel

    class Spy:
        def __getitem__(self, grid):
            return lambda *args, **launch: (options.update(launch), kernel[grid](*args))

    monkeypatch.setattr(module, "_kernel", Spy())
    qk_norm_rope_kv(*inputs, *buffers(inputs), **options)
    assert options["enable_fp_fusion"] is False


def test_reference_is_the_transformers_own_code():
    rope = Rotary(8, TABLE, 5e7)
    (q, k, v, *_), _ = arguments((2, 3, 4, 8, 8))
    cache, other = (KVCache(1, 2, 3, CAPACITY, 8) for _ in range(2))
    for held in (cache, other):
        held.advance([5, 2])
    positions = cache.positions(4)
    cos, sin = rope(positions)
    cache.write(0, rotate(k, cos, sin), v, positions)
    found = qk_norm_rope_kv_reference(q, k, v, rope.cos, rope.sin, positions, other.keys[0], other.values[0])
    assert torch.equal(found, rotate(q, cos, sin))
    assert torch.equal(other.keys, cache.keys)
    assert torch.equal(other.values, cache.values)
    kept = other.keys.clone()
    other.keys.zero_()
    assert torch.equal(qk_norm_rope_kv(q, k, v, rope.cos, rope.sin, positions, other.keys[0], other.values[0]), found)
    assert torch.equal(other.keys, kept)


@pytest.mark.parametrize("interleaved", [True, False])
def test_pairs_turn_as_complex_numbers_do(interleaved):
    x = torch.randn(1, 1, TABLE, 10, dtype=torch.float64)
    cos, sin = tables(6, interleaved, torch.float64)
    found = rotate_reference(x, cos[None, None], sin[None, None], interleaved)
    turned = x[..., :6].unflatten(-1, (3, 2) if interleaved else (2, 3))
    turned = turned if interleaved else turned.transpose(-1, -2)
    unit = torch.polar(torch.ones(TABLE, 3, dtype=torch.float64), angles(6))
    wanted = torch.view_as_real(torch.view_as_complex(turned.contiguous()) * unit)
    wanted = wanted.flatten(-2) if interleaved else wanted.transpose(-1, -2).flatten(-2)
    torch.testing.assert_close(found[..., :6], wanted, rtol=1e-12, atol=1e-12)
    assert torch.equal(found[..., 6:], x[..., 6:])


@pytest.mark.parametrize("function", [qk_norm_rope_kv, qk_norm_rope_kv_reference])
def test_slots_beyond_the_cache_land_on_the_last(function):
    inputs, options = arguments((2, 3, 4, 8, 8), starts=[CAPACITY - 2, TABLE - 2])
    keys, values = buffers(inputs)
    q = function(*inputs, keys, values, **options)
    clamped = inputs[5].clamp(max=TABLE - 1)
    assert not torch.equal(clamped, inputs[5])
    assert torch.equal(q, function(*inputs[:5], clamped, keys, values, **options)), "the last row of the tables"
    assert torch.equal(values[0, :, CAPACITY - 2], inputs[2][0, :, 0])
    for row, landed in ((0, range(1, 4)), (1, range(4))):  # row 1 has no slot of its own
        for head in range(3):
            assert any(torch.equal(values[row, head, -1], inputs[2][row, head, token]) for token in landed)
    assert keys[:, :, -1].isfinite().all()
    assert keys[0, :, : CAPACITY - 2].isnan().all()
    assert keys[1, :, :-1].isnan().all()


@pytest.mark.parametrize("special", [float("nan"), float("inf")])
@pytest.mark.parametrize("norm", WEIGHTS_OF)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the interpreter's
def test_not_a_number_and_infinity_go_no_further(norm, special):
    inputs, options = arguments((2, 3, 2, 8, 4), interleaved=False, norm=norm)
    for part in inputs[:3]:
        part[1, 2, 1, 1] = special
    (q, keys, values), (wanted_q, wanted_keys, _) = both(inputs, options)
    keys, values, wanted_keys = (  # the slots that were written
        part.gather(2, inputs[5][:, None, :, None].expand_as(q)) for part in (keys, values, wanted_keys)
    )
    for found, wanted in ((q, wanted_q), (keys, wanted_keys)):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5, equal_nan=True)
        spoilt = (~found.isfinite()).nonzero().tolist()
        assert all(place[:3] == [1, 2, 1] for place in spoilt), "the other heads and tokens are as they were"
        if norm == "none":
            assert {place[3] for place in spoilt} == {1, 3}, "the pair"
    assert (~values.isfinite()).nonzero().tolist() == [[1, 2, 1, 1]]


@pytest.mark.parametrize("norm", WEIGHTS_OF)
def test_every_number_is_written(norm, monkeypatch):
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *args, **options: empty(*args, **options).fill_(float("nan")))
    inputs, options = arguments((2, 5, 3, 20, 12), norm=norm)
    assert qk_norm_rope_kv(*inputs, *buffers(inputs), **options).isfinite().all()


@pytest.mark.parametrize("shape", [(0, 2, 3, 4, 4), (2, 2, 0, 4, 4)])
def test_nothing_new(shape):
    inputs, options = arguments(shape, "apart")
    cache = buffers(inputs)
    assert qk_norm_rope_kv(*inputs, *cache, **options).shape == shape[:4]
    assert all(buffer.isnan().all() for buffer in cache)


def test_a_cache_of_another_type():
    inputs, options = arguments((1, 2, 3, 8, 8))
    cache, wanted = (tuple(buffer.half() for buffer in buffers(inputs)) for _ in range(2))
    qk_norm_rope_kv(*inputs, *cache, **options)
    qk_norm_rope_kv_reference(*inputs, *wanted, **options)
    for found, expected in zip(cache, wanted, strict=True):
        assert torch.equal(found.nan_to_num(9), expected.nan_to_num(9))


@pytest.mark.parametrize("norm", WEIGHTS_OF)
def test_float64_goes_through_the_reference(norm):
    inputs, options = arguments((2, 3, 2, 8, 4), dtype=torch.float64, norm=norm)
    for found, wanted in zip(*both(inputs, options), strict=True):
        assert found.dtype == torch.float64
        assert torch.equal(found.nan_to_num(9), wanted.nan_to_num(9))


def test_shapes_are_known_without_running():
    inputs, options = arguments((2, 3, 2, 8, 4), dtype=torch.bfloat16, norm="layer")
    cache = tuple(buffer.zero_() for buffer in buffers(inputs))
    torch.library.opcheck(qk_norm_rope_kv, (*inputs, *cache), options, test_utils=("test_schema", "test_faketensor"))
    inputs, cache = ([value.to("meta") for value in values] for values in (inputs, cache))
    options = {name: value.to("meta") if isinstance(value, torch.Tensor) else value for name, value in options.items()}
    found = qk_norm_rope_kv(*inputs, *cache, **options)
    assert (found.shape, found.dtype, found.is_contiguous()) == ((2, 3, 2, 8), torch.bfloat16, True)


@pytest.mark.parametrize(
    ("changed", "options", "message"),
    [
        ({}, {"norm": "batch"}, "unknown norm 'batch'; choose among none, rms, layer"),
        ({}, {"norm": "rms"}, r"q_weight must be \[8\] for norm 'rms', not None"),
        ({}, {"q_bias": torch.ones(8)}, r"q_bias must be None for norm 'none', not \[8\]"),
        ({1: torch.ones(2, 3, 2, 4)}, {}, r"one shape and type, not \[2, 3, 2, 8\] .*, \[2, 3, 2, 4\]"),
        ({2: torch.ones(2, 3, 2, 8).half()}, {}, "one shape and type"),
        ({3: torch.ones(TABLE, 3)}, {}, "rotary_dim even and at most 8"),
        ({4: torch.ones(TABLE, 4)}, {}, r"sin \[16, 4\] .* must be \[positions, rotary_dim\]"),
        ({3: torch.ones(TABLE, 8).half()}, {}, "must be .* torch.float32"),
        ({5: torch.zeros(2, 3, dtype=torch.int64)}, {}, r"positions must be int64 \[2, 2\], not \[2, 3\]"),
        ({5: torch.zeros(2, 2, dtype=torch.int32)}, {}, "positions must be int64"),
        ({6: torch.zeros(2, 3, 11, 4)}, {}, r"keys \[2, 3, 11, 4\] must be contiguous \[2, 3, capacity, 8\]"),
        ({7: torch.zeros(2, 3, 8, 11).transpose(2, 3)}, {}, r"values .* must be contiguous"),
    ],
)
def test_what_does_not_fit_is_refused(changed, options, message):
    inputs, given_options = arguments((2, 3, 2, 8, 8))
    inputs = [*inputs, *buffers(inputs)]
    for place, value in changed.items():
        inputs[place] = value
    with pytest.raises(ValueError, match=message):
        qk_norm_rope_kv(*inputs, **{**given_options, **options})


def test_programs_take_a_few_heads():
    assert [heads_block(32, 128), heads_block(32, 64), heads_block(3, 64), heads_block(4, 2048)] == [4, 8, 4, 1]
