"""Draws inside kernels, interpreted on a CPU, against plain PyTorch: the same bits, the same noise."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.kernels import philox as module
from acdc.kernels.jit import jit, on_triton, tl
from acdc.kernels.philox import KINDS, draw, draw_reference, gumbel, normal

SEEDS = st.integers(0, 2**64 - 1)


def keys_of(seeds, chunk=0, purpose=0):
    return torch.tensor([(seed % 2**32, seed // 2**32, chunk, purpose) for seed in seeds])


@pytest.mark.long
@given(
    seeds=st.lists(SEEDS, min_size=1, max_size=3),
    chunk=st.integers(0, 2**32 - 1),
    positions=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3),
    count=st.integers(1, 1030),
    kind=st.sampled_from(KINDS),
)
@settings(max_examples=20, deadline=None)
def test_kernel_equals_reference(seeds, chunk, positions, count, kind):
    keys, where = keys_of(seeds, chunk, 2), torch.tensor(positions)
    assert on_triton(keys), "otherwise the reference would be compared with itself"
    found, wanted = draw(keys, where, count, kind), draw_reference(keys, where, count, kind)
    assert found.dtype == wanted.dtype
    if kind == "bits":
        assert torch.equal(found, wanted)
    torch.testing.assert_close(found, wanted, rtol=2**-23, atol=0)  # a rounding, once in 2^28: not twice here
    assert (found != wanted).sum() <= 1


@pytest.mark.parametrize("kind", ["gumbel", "normal"])
def test_many_draws_are_equal_after_rounding(kind, monkeypatch):
    """2^19 of each, from seeds that stay: float64 to the last unit or two is enough."""
    monkeypatch.setattr(module, "WIDEST", 2**17)
    keys, positions = keys_of([3]), torch.tensor([0, 9, 77, 2**31])
    assert torch.equal(draw(keys, positions, 2**17, kind), draw_reference(keys, positions, 2**17, kind))


def test_known_answer():
    """The first vector published with Random123."""
    zeros = torch.zeros(1, 4, dtype=torch.int64)
    wanted = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert draw(zeros, zeros[0, :1], 4, "bits").flatten().tolist() == wanted


def test_the_engines_names_are_the_same_draws():
    keys, positions = keys_of([5, 2**40 + 1], 2, 1), torch.tensor([[4, 5], [9, 10]])
    assert torch.equal(draw(keys, positions, 70, "gumbel"), gumbel(keys, positions, 70))
    wanted = normal(keys, (3, 5, 5))
    assert torch.equal(draw(keys, torch.zeros(1, dtype=torch.int64), 75, "normal"), wanted.reshape(2, 1, 75))


def test_a_value_does_not_depend_on_the_width_of_a_block(monkeypatch):
    keys, positions = keys_of([8]), torch.tensor([1])
    whole = draw(keys, positions, 37, "normal")
    monkeypatch.setattr(module, "WIDEST", 8)
    assert torch.equal(draw(keys, positions, 37, "normal"), whole)


@jit
def from_words(words, gumbels, estimates, cosines, sines, COUNT: tl.constexpr):
    lanes = tl.arange(0, COUNT)
    word = tl.load(words + lanes).to(tl.uint32)
    tl.store(gumbels + lanes, module._gumbel(word))
    tl.store(estimates + lanes, module._gumbel_estimate(word))
    cosine, sine = module._cos_sin(6.283185307179586 * module._uniform(word))
    tl.store(cosines + lanes, cosine)
    tl.store(sines + lanes, sine)


def test_the_ends_and_the_quarter_turns():
    """Cases in which a uniform is nearest to 0 and 1, an angle to a zero of cosine and sine, an estimate to its series'
    end."""
    middles = [turn + step for turn in (*range(0, 5 * 2**30, 2**30), 2**32 - 2**25) for step in range(-20, 20)]
    grid = range(0, 2**32, 2**32 // 3800)
    inside = [word for word in (*middles, *grid) if 0 <= word < 2**32]
    words = torch.tensor(inside + [2**32 - 1] * (4096 - len(inside)))
    gumbels, estimates = torch.empty(2, 4096)
    cosines, sines = torch.empty(2, 4096, dtype=torch.float64)
    from_words[(1,)](words, gumbels, estimates, cosines, sines, 4096)
    uniform = (words.double() + 0.5) * 2.0**-32
    assert gumbels.isfinite().all()
    assert torch.equal(gumbels, (-torch.log(-torch.log(uniform))).float())
    assert ((estimates - gumbels).abs() < 2**-14).all()
    angle = 2.0 * math.pi * uniform
    for found, wanted in ((cosines, angle.cos()), (sines, angle.sin())):
        unit = torch.from_numpy(np.spacing(wanted.abs().numpy()))
        assert ((found - wanted).abs() <= 2 * unit).all()


@jit
def argmax(values, keys, positions, scores, ids, COUNT: tl.constexpr):
    row = tl.program_id(0)
    value = tl.load(values + row * COUNT + tl.arange(0, COUNT))
    score, id = module.gumbel_argmax(value, keys, tl.load(positions + row), 8, COUNT)
    tl.store(scores + row, score)
    tl.store(ids + row, id)


@pytest.mark.long
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4, 1e8])
def test_the_best_noisy_value_is_found_as_if_all_noise_were_exact(scale):
    """Large values round many sums to the same number: then there are many near the top, and the first is right."""
    values = (torch.randn(20, 64, generator=torch.Generator().manual_seed(0)) * 2).round() * scale
    keys, positions, scores = keys_of([6]), torch.arange(20), torch.empty(20)
    ids = torch.empty(20, dtype=torch.int32)
    argmax[(20,)](values, keys, positions, scores, ids, 64)
    noisy = values + gumbel(keys, positions, 72)[0, :, 8:]
    assert torch.equal(scores, noisy.amax(1))
    assert torch.equal(ids.long() - 8, (noisy == scores[:, None]).long().argmax(1))


def test_the_best_of_infinities_and_of_nothing():
    inf = torch.inf
    values = torch.tensor([[-inf] * 4, [0, inf, 1, inf], [-inf, -inf, -9.0, -inf], [torch.nan, -inf, 0, -inf]])
    scores, ids = torch.empty(4), torch.empty(4, dtype=torch.int32)
    argmax[(4,)](values, keys_of([6]), torch.arange(4), scores, ids, 4)
    assert ids.tolist() == [8, 9, 10, 10]
    assert scores[:2].tolist() == [-inf, inf]
    assert scores[2:].isfinite().all()


def test_everything_is_written(monkeypatch):
    def poisoned(*size, dtype, device):
        return torch.full(size, float("nan") if dtype.is_floating_point else -1, dtype=dtype, device=device)

    monkeypatch.setattr(module.torch, "empty", poisoned)
    for kind in KINDS:
        values = draw(keys_of([1, 2]), torch.arange(2), 13, kind)
        assert values.isfinite().all()
        assert (kind != "bits") or (values >= 0).all()


def test_no_draws_and_strided_keys():
    keys = torch.stack([keys_of([1, 2, 3])] * 2, -1)[..., 0]
    assert not keys.is_contiguous()
    assert torch.equal(draw(keys, torch.arange(2), 5, "bits"), draw_reference(keys, torch.arange(2), 5, "bits"))
    assert draw(keys, torch.arange(2), 0, "bits").shape == (3, 2, 0)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="unknown kind of draw 'coin'; choose bits, gumbel, normal"):
        draw(keys_of([1]), torch.arange(1), 4, "coin")


def test_shapes_are_known_without_running():
    with torch.device("meta"):
        keys, positions = torch.empty(2, 4, dtype=torch.int64), torch.empty(3, dtype=torch.int64)
        assert draw(keys, positions, 9, "bits").dtype == torch.int64
        found = draw(keys, positions, 9, "normal")
    assert found.shape == (2, 3, 9)
    assert found.dtype == torch.float32
