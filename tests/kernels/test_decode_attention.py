"""Attention over a cache: the kernel, interpreted, against its reference in float64, with all free slots poisoned."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.engine.models.attention import SDPA
from acdc.engine.models.kv_cache import KVCache
from acdc.kernels import decode_attention as module
from acdc.kernels.decode_attention import PROGRAMS, decode_attention, decode_attention_reference, split_count, tile

# Against float64, for values near 1. float32: scores of some tens are off by some millionths, and so are the weights.
# Halves: the weights and the result are rounded once each, half a unit of 2^-10 for float16; the interpreter cuts
# bfloat16, a unit of 2^-7.
TOLERANCE = {torch.float32: 2e-5, torch.float16: 2**-9, torch.bfloat16: 2**-5}


def case(rows, heads, new, size, capacity, lengths, apart, dtype=torch.float32, seed=0, scale=1.0, poison=float("nan")):
    """Arguments of the operator; slots that no query sees are poisoned."""
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(rows, heads, new, size, generator=generator) * scale
    keys, values = torch.randn(2, rows, heads, capacity, size, generator=generator)
    fresh = torch.randn(2, rows, heads, new, size, generator=generator)
    for row, length in enumerate(lengths):
        taken = length if apart else length + new
        keys[row, :, taken:] = values[row, :, taken:] = poison
    arguments = [q.to(dtype), keys.to(dtype), values.to(dtype), torch.tensor(lengths)]
    return [*arguments, *fresh.to(dtype)] if apart else arguments


def exact(arguments):
    return decode_attention_reference(*(value.double() if value.is_floating_point() else value for value in arguments))


def near(found, wanted):
    tolerance = TOLERANCE[found.dtype]
    assert found.isfinite().all()
    torch.testing.assert_close(found.double(), wanted.double(), rtol=tolerance, atol=tolerance)


@st.composite
def settings_of_cases(draw):
    rows, new = draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 5, 16, 19, 70]))
    capacity = draw(st.integers(new, 200))
    return {
        "rows": rows,
        "heads": draw(st.integers(1, 2)),
        "new": new,
        "size": draw(st.sampled_from([16, 24, 32, 80, 128])),
        "capacity": capacity,
        "lengths": [draw(st.integers(0, capacity - new)) for _ in range(rows)],
        "apart": draw(st.booleans()),
        "dtype": draw(st.sampled_from(list(TOLERANCE))),
        "seed": draw(st.integers(0, 99)),
        "scale": draw(st.sampled_from([0.0, 1.0, 10.0])),
    }


@pytest.mark.long
@given(chosen=settings_of_cases())
@settings(max_examples=20, deadline=None)
def test_kernel_equals_reference(chosen):
    arguments = case(**chosen)
    wanted = exact(arguments)
    near(decode_attention(*arguments), wanted)
    near(decode_attention_reference(*arguments), wanted)


@pytest.mark.long
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("splits", [1, 2, 3, 64])
def test_any_number_of_splits(splits, apart, monkeypatch):
    arguments = case(2, 1, 3, 16, 200, [150, 0], apart)
    monkeypatch.setattr(module, "split_count", lambda pairs, blocks: splits)
    near(decode_attention(*arguments), exact(arguments))


@pytest.mark.long
def test_a_token_has_the_same_bits_in_every_window():
    """However many come after it, in the cache or apart: so a wider window of decoding flips nothing.

    From another start it is in another line of the tile, which the interpreter's matrix product treats otherwise.
    """
    length, new = 60, 9  # across a block's border
    q, keys, values, lengths = case(1, 2, new, 32, 200, [length], False)
    whole = decode_attention(q, keys, values, lengths)
    for token in range(new):
        narrow = decode_attention(q[:, :, : token + 1], keys, values, lengths)
        assert torch.equal(narrow, whole[:, :, : token + 1])
        alone = decode_attention(q[:, :, token : token + 1], keys, values, lengths + token)
        near(alone, whole[:, :, token : token + 1])
    fresh = [value[:, :, length : length + new].clone() for value in (keys, values)]
    keys[:, :, length:] = values[:, :, length:] = float("nan")
    assert torch.equal(decode_attention(q, keys, values, lengths, *fresh), whole)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("programs", [1, PROGRAMS])
def test_buffers_are_written_before_they_are_read(programs, apart, monkeypatch):
    arguments = case(2, 2, 2, 24, 150, [1, 130], apart, torch.float16)
    empty = torch.empty
    monkeypatch.setattr(module, "PROGRAMS", programs)
    monkeypatch.setattr(torch, "empty", lambda *shape, **kind: empty(*shape, **kind).fill_(float("nan")))
    near(decode_attention(*arguments), exact(arguments))


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_free_slots_are_not_read(poison):
    arguments = case(2, 1, 4, 16, 128, [3, 70], False, poison=poison)
    near(decode_attention(*arguments), exact(arguments))


@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul")
def test_not_a_number_reaches_those_who_see_it():
    q, keys, values, lengths = case(2, 2, 4, 16, 100, [70, 5], False)
    keys[0, 1, 72] = float("nan")  # the third new token of row 0, in its second head
    found = decode_attention(q, keys, values, lengths)
    seen = torch.zeros(2, 2, 4, dtype=torch.bool)
    seen[0, 1, 2:] = True
    assert torch.equal(found.isnan(), seen[..., None].expand_as(found))
    keys[0, 1, 72], values[0, 1, 72] = 0, float("inf")  # 0 * inf: also those of the window before it
    found = decode_attention(q, keys, values, lengths)
    assert not found[0, 1].isfinite().any()
    assert found[0, 0].isfinite().all()
    assert found[1].isfinite().all()


def test_padding_after_the_last_slot_is_finite():
    """Rows of a window that is wider than what is left: the real tokens are right, the others something."""
    arguments = case(2, 1, 8, 16, 90, [88, 40], False)
    found, wanted = decode_attention(*arguments), exact(arguments)
    near(found, wanted)
    narrow = [arguments[0][:1, :, :2], *(value[:1] for value in arguments[1:])]
    near(found[:1, :, :2], exact(narrow))


def test_strided_inputs_and_the_layers_layout():
    new, heads, size = 3, 2, 16
    buffer = torch.full((3, 2, heads, 70, size), float("nan"))  # of three layers
    q, buffer[1], values, lengths, *fresh = case(2, heads, new, size, 70, [66, 9], True)
    stored = torch.full_like(buffer, float("nan"))
    stored[1] = values
    fused = torch.cat([value.transpose(1, 2).flatten(2) for value in (q, *fresh)], 2)
    views = [part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in fused.chunk(3, -1)]
    assert not any(view.is_contiguous() for view in views)
    found = decode_attention(views[0], buffer[1], stored[1], lengths, *views[1:])
    assert torch.equal(found, decode_attention(q, buffer[1], values, lengths, *fresh))
    assert found.transpose(1, 2).flatten(2).data_ptr() == found.data_ptr()
    every_other = q.repeat_interleave(2, -1)[..., ::2]
    assert torch.equal(decode_attention(every_other, buffer[1], values, lengths, *fresh), found)


def test_as_the_cache_attends():
    """The engine's own path: two rows of different lengths, a prefill with padding, then a window."""
    cache = KVCache(layers=1, rows=2, heads=2, capacity=64, head_dim=16)
    q, k, v = torch.randn(3, 2, 2, 7, 16)
    cache.write(0, k, v, cache.positions(7))
    cache.advance([7, 4])
    q, k, v = torch.randn(3, 2, 2, 3, 16)
    positions = cache.positions(3)
    wanted = SDPA(q, cache.store(0, k, v, positions), cache.mask(positions))
    found = decode_attention(q, cache.keys[0], cache.values[0], cache.lengths)
    near(found, wanted)
    assert torch.equal(decode_attention(q, cache.keys[0], cache.values[0], cache.lengths, k, v), found)


def test_float64_stays_exact():
    arguments = case(1, 2, 3, 16, 40, [30], True, torch.float64)
    assert torch.equal(decode_attention(*arguments), exact(arguments))


def test_shapes_are_known_without_running():
    arguments = case(2, 3, 4, 16, 32, [3, 0], True)
    found = decode_attention(*arguments)
    fake = decode_attention(*(value.to("meta") for value in arguments))
    assert (fake.shape, fake.stride(), fake.dtype) == (found.shape, found.stride(), found.dtype)
    assert decode_attention(arguments[0][:, :, :0], *arguments[1:4]).shape == (2, 3, 0, 16)


def test_refusals():
    with pytest.raises(ValueError, match="heads of 256 numbers; decode attention takes at most 128"):
        decode_attention(*case(1, 1, 1, 256, 4, [0], False))
    with pytest.raises(AssertionError, match="come together"):
        decode_attention(*case(1, 1, 1, 16, 4, [0], True)[:5])


@given(pairs=st.integers(1, 4096), capacity=st.integers(1, 8192), new=st.integers(1, 128))
@settings(max_examples=200, deadline=None)
def test_programs_fill_the_gpu_where_there_is_work(pairs, capacity, new):
    queries, slots, *_ = tile(new, 2)
    assert queries in (16, 32, 64)
    blocks = -(-capacity // slots)
    splits = split_count(pairs, blocks)
    assert 1 <= splits <= blocks
    assert splits == 1 or pairs * splits <= PROGRAMS
    if pairs >= 8 and blocks >= 64:
        assert pairs * splits > PROGRAMS // 2
