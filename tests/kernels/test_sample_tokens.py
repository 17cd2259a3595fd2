"""Sampling inside a kernel, interpreted on a CPU, against the plain functions: the same sets, the same tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.kernels import sample_tokens as module
from acdc.kernels.jit import jit, on_triton, tl
from acdc.kernels.philox import gumbel
from acdc.kernels.sample_tokens import (
    Sampling,
    choose_block,
    guide,
    keep_top_k,
    keep_top_p,
    sample_tokens,
    sample_tokens_reference,
)

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
MARGIN = 1e-5  # of a sum of probabilities from top_p: closer, another order of adding may keep other ids
KEYS = torch.tensor([[5, 0, 2, 0], [2**32 - 1, 2**31 + 7, 1000, 0], [0, 1, 0, 0]])


def free(num_positions):
    return torch.full((num_positions,), -1)


def near_p(logits, top_p):
    """Rows of kept logits [..., V] in which a running sum of probabilities is within the margin of p."""
    sums = logits.double().sort(-1, descending=True).values.softmax(-1).cumsum(-1)
    return ((sums - top_p).abs() < MARGIN).any(-1)


def check(cond, uncond, keys, starts, forced, sampling):
    """Equal tokens; of rows that differ, a sum must be at p."""
    assert on_triton(cond), "otherwise the reference would be compared with itself"
    inputs = (cond, uncond, keys, starts, forced, sampling)
    found, wanted = sample_tokens(*inputs), sample_tokens_reference(*inputs)
    assert found.dtype == wanted.dtype == torch.int64
    if sampling.temperature > 0 and sampling.top_p < 1:
        logits = module.allow(guide(cond, uncond, sampling.guidance_scale), sampling.allowed) / sampling.temperature
        wanted = torch.where(near_p(keep_top_k(logits, sampling.top_k), sampling.top_p), found, wanted)
    assert torch.equal(found, wanted)
    return found


@pytest.mark.long
@given(
    shape=st.sampled_from([(1, 1, 1), (1, 1, 130), (1, 2, 17), (2, 1, 100)]),
    dtype=st.sampled_from(DTYPES),
    sampling=st.builds(
        Sampling,
        guidance_scale=st.sampled_from([1.0, 3.0, 0.0]),
        temperature=st.sampled_from([0.0, 0.7, 1.0, 2.5]),
        top_k=st.sampled_from([None, None, 1, 5, 16, 10**6]),
        top_p=st.sampled_from([1.0, 1.0, 0.3, 0.9]),
        allowed=st.none(),
    ),
    first=st.integers(0, 9),
    forcing=st.booleans(),
    steps=st.sampled_from([1, 8, 2**20]),  # coarse logits are full of ties
    seed=st.integers(0, 999),
)
@settings(max_examples=20, deadline=None)
def test_kernel_equals_reference(shape, dtype, sampling, first, forcing, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    cond, uncond = ((torch.randn(2, *shape, generator=generator) * steps).round() / steps * 2).to(dtype)
    starts = torch.randint(0, 12, shape[:1], generator=generator)
    forced = torch.where(torch.rand(10, generator=generator) < 0.3 * forcing, torch.arange(10), -1)
    if first and first < shape[2]:
        sampling = sampling._replace(allowed=(first, min(first + 50, shape[2] + 3)))
    tokens = check(cond, uncond, KEYS[: shape[0]], starts, forced, sampling)
    if sampling.allowed is not None and not forcing:
        assert ((tokens >= sampling.allowed[0]) & (tokens < min(sampling.allowed[1], shape[2]))).all()


@pytest.mark.long
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(2.0, 0.8, 20, 0.9), Sampling(temperature=0.0)])
def test_rows_wider_than_a_block(sampling, monkeypatch):
    monkeypatch.setattr(module, "WIDEST", 32)
    monkeypatch.setattr(module, "LOOPED_BLOCK", 16)
    cond, uncond = torch.randn(2, 1, 1, 75, generator=torch.Generator().manual_seed(1)) * 2
    for allowed in (None, (6, 71)):
        check(cond, uncond, KEYS[:1], torch.tensor([3]), free(9), sampling._replace(allowed=allowed))


@jit
def keep(logits, kept, size, top_k, top_p, LOOPED: tl.constexpr, BLOCK: tl.constexpr):
    """Ids of a row that top-k, and top-p after it, keep, as the sampling kernel finds them."""
    logits, kept, lanes = logits + tl.program_id(0) * size, kept + tl.program_id(0) * 2 * size, tl.arange(0, BLOCK)
    value = tl.load(logits + lanes, lanes < size, other=float("-inf"))
    peak = float("-inf")
    for start in range(0, size, BLOCK):
        part = tl.load(logits + start + lanes, start + lanes < size, other=float("-inf"))
        peak = tl.maximum(peak, tl.max(part, 0))
    lowest, total = float("-inf"), 0.0
    best = module._cut(value, logits, size, lowest, peak, 1.0, top_k, False, LOOPED, BLOCK)
    for start in range(0, size, BLOCK):
        part = tl.load(logits + start + lanes, start + lanes < size, other=float("-inf"))
        total += tl.sum(tl.where(part >= best, tl.exp(part - peak), 0.0), 0)
    nucleus = module._cut(value, logits, size, best, peak, total, top_p, True, LOOPED, BLOCK)
    for start in range(0, size, BLOCK):
        inside = start + lanes < size
        part = tl.load(logits + start + lanes, inside, other=0.0)
        tl.store(kept + start + lanes, part >= best, inside)
        tl.store(kept + size + start + lanes, part >= nucleus, inside)


ROWS = st.lists(st.integers(-12, 12).map(lambda n: n / 4), min_size=12, max_size=12)
ODD = st.lists(st.sampled_from([-torch.inf, -0.0, 0.0, 1e-40, -3.5, 88.0]), min_size=12, max_size=12)


@pytest.mark.long
@given(row=ROWS | ODD, k=st.integers(1, 11), p=st.floats(0.01, 0.99), block=st.sampled_from([16, 4]))
@settings(max_examples=15, deadline=None)
def test_the_kept_sets_are_the_references(row, k, p, block):
    """Without a sort: the k best with all their ties, and of them the fewest that reach p."""
    logits = torch.tensor([row])
    kept = torch.zeros(1, 2, 12, dtype=torch.bool)
    keep[(1,)](logits, kept, 12, float(k), p, block < 12, block)
    best = keep_top_k(logits, k)
    inside = logits > -torch.inf  # those outside are never drawn, kept or not
    assert torch.equal(kept[:, 0] & inside, best > -torch.inf)
    assert (kept[0, 0] & inside[0]).sum() >= min(k, int(inside.sum()))
    assert (logits[0] > logits[0, kept[0, 0]].min()).sum() < k
    if not near_p(best, p):
        assert torch.equal(kept[:, 1] & inside, keep_top_p(best, p) > -torch.inf)


@pytest.mark.long
def test_draws_follow_the_softmax():
    """Chi-square at a level of 1e-4: of 40,000 draws by the reference, to which 100 by the kernel are equal."""
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, 0.5])
    positions, sampling = 40_000, Sampling(temperature=1.5)
    rows = logits.expand(1, positions, -1)
    tokens = sample_tokens_reference(rows, None, KEYS[:1], torch.zeros(1, dtype=torch.int64), free(positions), sampling)
    wanted = positions * (logits / 1.5).softmax(-1)
    counts = torch.bincount(tokens.flatten(), minlength=5)
    assert ((counts - wanted).square() / wanted).sum() < 23.5  # 4 degrees of freedom
    few = sample_tokens(rows[:, :100], None, KEYS[:1], torch.zeros(1, dtype=torch.int64), free(positions), sampling)
    assert torch.equal(few, tokens[:, :100])


def test_noise_is_that_of_the_position():
    """Rows at different places of a window, or alone, draw the same; past the last position they draw as the last."""
    cond = torch.randn(1, 1, 40, generator=torch.Generator().manual_seed(0)).expand(2, 4, -1)
    together = check(cond, None, KEYS[:2], torch.tensor([2, 4]), free(6), Sampling())
    assert together[0, 3] == sample_tokens(cond[:1, :1], None, KEYS[:1], torch.tensor([5]), free(6), Sampling())
    assert together[1, 1] == together[1, 2] == together[1, 3]
    by_hand = (cond[0, 0] + gumbel(KEYS[:1], torch.tensor([3]), 40)[0, 0]).argmax()
    assert together[0, 1] == by_hand


@pytest.mark.long
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_is_not_finite(temperature):
    """As in the reference: no id for a row with a NaN among its allowed ids, the first of infinities."""
    inf, nan = torch.inf, torch.nan
    rows = [[0, nan, 1, 2], [nan, 0, 1, 2], [0, inf, 1, inf], [-inf] * 4, [0, -inf, -inf, -inf], [-inf, inf, nan, 0]]
    cond, starts = torch.tensor(rows)[None], torch.tensor([0])
    for sampling in (Sampling(1.0, temperature), Sampling(1.0, temperature, 2, 0.5)):
        tokens = [
            run(cond, None, KEYS[:1], starts, free(9), sampling._replace(allowed=allowed)).tolist()
            for run in (sample_tokens, sample_tokens_reference)
            for allowed in (None, (1, 4))
        ]
        assert tokens[:2] == tokens[2:]
        assert tokens[0][0][0] == 4
        assert tokens[1][0][1] != 4


def test_greedy_takes_the_first_of_equals_and_forced_ids_win():
    cond = torch.tensor([[[1.0, 3.0, 3.0], [0.0, -0.0, 0.0], [2.0, 2.0, 2.0]]])
    forced = torch.tensor([-1, -1, 7])
    tokens = sample_tokens(cond, None, None, torch.tensor([0]), forced, Sampling(temperature=0.0))
    assert tokens.tolist() == [[1, 0, 7]]


def test_strided_inputs_poisoned_outputs_and_no_rows(monkeypatch):
    many = torch.randn(2, 3, 50, 2, generator=torch.Generator().manual_seed(0))
    cond, keys = many[..., 0], torch.stack([KEYS] * 2, -1)[:2, :, 0]
    forced = torch.stack([free(5)] * 2, -1)[:, 0]
    assert not any(value.is_contiguous() for value in (cond, keys, forced))
    monkeypatch.setattr(
        module.torch, "empty", lambda *size, dtype=None, device=None: torch.full(size, -9, dtype=dtype or torch.float32)
    )
    tokens = check(cond, many[..., 1], keys, torch.tensor([[0, 9], [1, 9]])[:, 0], forced, Sampling(2.0))
    assert ((tokens >= 0) & (tokens < 50)).all()
    assert sample_tokens(cond[:0], None, keys[:0], torch.tensor([0])[:0], forced, Sampling()).shape == (0, 3)


def test_float64_is_the_references():
    cond = torch.randn(1, 2, 30, dtype=torch.float64)
    inputs = (cond, None, KEYS[:1], torch.tensor([0]), free(4), Sampling(1.0, 0.9, 3, 0.8))
    assert torch.equal(sample_tokens(*inputs), sample_tokens_reference(*inputs))


def test_a_row_fits_its_block():
    assert choose_block(1) == (16, 4)
    assert choose_block(8192) == (8192, 16)
    assert choose_block(8193) == (4096, 16)
    for size in range(1, 8193, 97):
        block, num_warps = choose_block(size)
        assert size <= block < 2 * max(size, 16)
        assert block // (32 * num_warps) <= 16, "logits a thread"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"guidance_scale": 2.0}, "guidance_scale 2.0 needs the unconditional logits"),
        ({"temperature": -1.0}, "temperature -1.0 is out of range"),
        ({"temperature": 0.5}, "temperature 0.5 is out of range or lacks keys"),
        ({"top_k": 0}, "top_k 0 is out of range; choose 1 or more"),
        ({"top_p": 0.0}, "top_p 0.0 is out of range"),
        ({"allowed": (4, 4)}, r"allowed ids \(4, 4\) are not a range"),
        ({"allowed": (12, 20)}, r"allowed ids \(12, 20\) are not a range \(first, end\) of the 12 ids"),
    ],
)
def test_bad_settings_are_named(setting, message):
    sampling = Sampling(**{"temperature": 0.0} | setting)
    with pytest.raises(ValueError, match=message):
        sample_tokens(torch.zeros(1, 1, 12), None, None, torch.tensor([0]), free(4), sampling)


def test_shapes_are_known_without_running():
    with torch.device("meta"):
        cond, keys = torch.empty(2, 3, 8192, dtype=torch.bfloat16), torch.empty(2, 4, dtype=torch.int64)
        starts = torch.empty(2, dtype=torch.int64)
        tokens = sample_tokens(cond, cond, keys, starts, starts, Sampling(3.0, 1.0, 5, 0.9))
    assert tokens.shape == (2, 3)
    assert tokens.dtype == torch.int64
