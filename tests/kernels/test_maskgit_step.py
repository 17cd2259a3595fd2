"""A MaskGIT step: kernels, interpreted, against the reference; that against a restatement and golden tables."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.kernels import maskgit_step as module
from acdc.kernels.jit import on_triton
from acdc.kernels.maskgit_step import choose_block, maskgit_schedule, maskgit_step, maskgit_step_reference
from acdc.kernels.philox import gumbel
from tests.helpers.maskgit_tables import COUNTS, TAUS

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
# exp and log of float32 and sums in another order move a score by less than this share of it: nearer to the cut,
# another slot may be masked.
MARGIN = 1e-5
KEYS = torch.tensor([[5, 0, 2, 0], [2**32 - 1, 2**31 + 7, 1000, 0], [0, 1, 0, 0]])
SCORE_KEYS = KEYS + torch.tensor([0, 0, 0, 3])


def logits_of(shape, seed, dtype=torch.float32, scale=2.0):
    return (torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed)) * scale).to(dtype)


def begin(stories, slots, known=0.0, seed=0):
    """Codes of which a share is known."""
    there = torch.rand(stories, slots, generator=torch.Generator().manual_seed(seed)) < known
    return torch.where(there, 3, -1)


def scores_of(cond, uncond, codes, keys, score_keys, schedule, step, guidance):
    """In float64, [B, N], infinite where known."""
    wide = (1 + guidance) * cond.double() - guidance * (uncond if guidance else cond).double()
    drawn = maskgit_step_reference(cond, uncond, codes, keys, score_keys, schedule, step, guidance)[0]
    share = wide.softmax(-1).gather(-1, drawn[..., None].clamp(max=cond.shape[2] - 1))[..., 0]
    noise = gumbel(score_keys, step, cond.shape[1])[:, 0]
    return (share.clamp(min=1e-20).log() + schedule[step[0], 1] * noise).masked_fill(codes >= 0, torch.inf)


def check(cond, uncond, codes, schedule, step, guidance):
    """Equal draws; slots masked in one and not in the other have scores at the cut."""
    assert on_triton(cond), "otherwise the reference would be compared with itself"
    inputs = (
        cond,
        uncond,
        codes,
        KEYS[: len(codes)],
        SCORE_KEYS[: len(codes)],
        schedule,
        torch.tensor([step]),
        guidance,
    )
    (drawn, after), (wanted_drawn, wanted) = maskgit_step(*inputs), maskgit_step_reference(*inputs)
    assert torch.equal(drawn, wanted_drawn)
    if not torch.equal(after, wanted):
        scores, masked = scores_of(*inputs), (wanted < 0).sum(1)
        for story, count in enumerate(masked.tolist()):
            flipped = scores[story][(after != wanted)[story]]
            cut = scores[story].sort().values[count]
            assert ((flipped - cut).abs() < MARGIN * (1 + cut.abs())).all()
    return drawn, after


@pytest.mark.parametrize(("slots", "steps"), COUNTS)
def test_golden_schedule(slots, steps):
    """Counts of a whole run, by the table and by the reference on logits of four codes."""
    wanted = [int(count) for count in COUNTS[slots, steps].split()]
    schedule = maskgit_schedule(slots, steps)
    planned = [max(1, int(count)) for count in schedule[:, 0]]
    assert planned[0] <= slots - 1
    assert planned == wanted
    codes, cond = begin(1, slots), logits_of((1, slots, 4), 0)[0]
    for step, count in enumerate(wanted):
        inputs = (cond, None, codes, KEYS[:1], SCORE_KEYS[:1], schedule, torch.tensor([step]))
        drawn, codes = maskgit_step_reference(*inputs)
        assert (codes < 0).sum() == count
        assert (drawn >= 0).all()


def test_golden_temperatures_and_their_start():
    taus = [float(value) for value in TAUS.split()]
    torch.testing.assert_close(maskgit_schedule(256, 18)[:, 1], torch.tensor(taus), rtol=2e-3, atol=1e-12)
    torch.testing.assert_close(maskgit_schedule(256, 18, 2.5)[:, 1], 2.5 * maskgit_schedule(256, 18)[:, 1])
    assert maskgit_schedule(256, 18).dtype == torch.float32


@pytest.mark.long
@given(
    shape=st.sampled_from([(1, 1, 7), (1, 5, 33), (2, 3, 20), (1, 4, 1)]),
    dtype=st.sampled_from(DTYPES),
    guidance=st.sampled_from([0.0, 1.75, 5.0]),
    known=st.sampled_from([0.0, 0.5, 1.0]),
    step=st.integers(0, 5),
    temperature=st.sampled_from([0.0, 1.0, 50.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=12, deadline=None)
def test_kernel_equals_reference(shape, dtype, guidance, known, step, temperature, seed):
    cond, uncond = logits_of(shape, seed, dtype)
    codes = begin(*shape[:2], known, seed)
    schedule = maskgit_schedule(shape[1], 6, temperature)
    drawn, after = check(cond, uncond if guidance else None, codes, schedule, step, guidance)
    assert torch.equal(drawn[codes >= 0], codes[codes >= 0])
    assert torch.equal(after[codes >= 0], codes[codes >= 0]), "known slots stay known, at any temperature"
    assert ((after == drawn) | (after == -1)).all()
    unknown = (codes < 0).sum(1)
    planned = torch.minimum(unknown - 1, schedule[step, 0].long()).clamp(min=1)
    assert ((after < 0).sum(1) <= torch.minimum(planned, unknown)).all()


def restated(logits, codes, noise, score_noise, planned, tau):
    """One story, one slot after another, in Python's own numbers."""
    drawn, scores = [], []
    for slot, row in enumerate(logits):
        noisy = [value + more for value, more in zip(row, noise[slot], strict=True)]
        code = codes[slot] if codes[slot] >= 0 else noisy.index(max(noisy))
        share = math.exp(row[code]) / sum(math.exp(value) for value in row)
        score = math.log(max(share, 1e-20)) + tau * score_noise[slot]
        drawn.append(code)
        scores.append(math.inf if codes[slot] >= 0 else score)
    count = max(1, min(sum(code < 0 for code in codes) - 1, planned))
    lowest = sorted(range(len(codes)), key=lambda slot: scores[slot])[:count]
    return drawn, [-1 if slot in lowest and codes[slot] < 0 else code for slot, code in enumerate(drawn)]


@given(slots=st.integers(2, 12), known=st.sampled_from([0.0, 0.4]), step=st.integers(0, 7), seed=st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_reference_is_the_plain_restatement(slots, known, step, seed):
    """float64, where no rounding decides."""
    cond, uncond = logits_of((1, slots, 9), seed, torch.float64)
    codes, schedule = begin(1, slots, known, seed), maskgit_schedule(slots, 8)
    keys, score_keys, now = KEYS[1:2], SCORE_KEYS[1:2], torch.tensor([step])
    found = maskgit_step_reference(cond, uncond, codes, keys, score_keys, schedule, now, 1.75)
    noise = gumbel(keys, step * slots + torch.arange(slots), 9)[0].tolist()
    score_noise = gumbel(score_keys, now, slots)[0, 0].tolist()
    logits = ((1 + 1.75) * cond - 1.75 * uncond)[0].tolist()
    planned, tau = schedule[step].tolist()
    wanted = restated(logits, codes[0].tolist(), noise, score_noise, int(planned), tau)
    assert tuple(value[0].tolist() for value in found) == wanted


def test_rows_wider_than_a_block_and_more_slots_than_a_tile(monkeypatch):
    for name, value in (("WIDEST", 16), ("ROWS", 2), ("COLUMNS", 4)):
        monkeypatch.setattr(module, name, value)
    cond, uncond = logits_of((1, 7, 50), 3)
    check(cond, uncond, begin(1, 7, 0.3, 1), maskgit_schedule(7, 4), 1, 1.75)


@pytest.mark.long
def test_a_whole_run_ends_known_and_never_takes_back():
    codes, schedule = begin(2, 6, 0.3), maskgit_schedule(6, 4)
    first = codes
    for step in range(4):
        cond, uncond = logits_of((2, 6, 12), step)
        drawn, after = check(cond, uncond, codes, schedule, step, 1.0)
        assert torch.equal(after[codes >= 0], codes[codes >= 0])
        codes = after
    assert (drawn >= 0).all()
    assert torch.equal(drawn[first >= 0], first[first >= 0])


def test_draws_follow_the_softmax():
    """Chi-square at a level of 1e-4, with guidance; one step of 40,000 slots."""
    cond, uncond = torch.tensor([[1.0, 0.0, -1.0, 0.5], [0.5, 0.5, 0.0, 0.0]])
    slots = 40_000
    schedule = torch.tensor([[1.0, 1.0]])
    rows = (value.expand(1, slots, -1) for value in (cond, uncond))
    inputs = (*rows, begin(1, slots), KEYS[:1], SCORE_KEYS[:1], schedule, torch.tensor([0]), 2.0)
    drawn = maskgit_step_reference(*inputs)[0]
    wanted = slots * (3 * cond - 2 * uncond).softmax(-1)
    counts = torch.bincount(drawn.flatten(), minlength=4)
    assert ((counts - wanted).square() / wanted).sum() < 21.1  # 3 degrees of freedom


def test_the_least_confident_are_masked_when_the_temperature_is_zero():
    """Two codes, of which the first is as good as certain, in the order of the slots' gaps."""
    cond = torch.tensor([[[14.0, 0], [12.0, 0], [16.0, 0], [13.0, 0]]])
    after = check(cond, None, begin(1, 4), torch.tensor([[2.0, 0.0]]), 0, 0.0)[1]
    assert after.tolist() == [[0, -1, 0, -1]]


def test_ties_at_the_cut_mask_fewer_and_what_is_known_is_left_alone():
    alike = torch.zeros(1, 4, 1)
    plan = torch.tensor([[2.0, 0.0]])
    assert check(alike, None, begin(1, 4), plan, 0, 0.0)[1].tolist() == [[0, 0, 0, 0]]
    assert check(alike, None, begin(1, 4, 1.0), plan, 0, 0.0)[1].tolist() == [[3, 3, 3, 3]]
    one = torch.tensor([[3, -1, 3, 3]])
    assert check(alike, None, one, plan, 0, 0.0)[1].tolist() == [[3, -1, 3, 3]], "the last unknown one stays so"


def test_what_is_not_finite():
    """A row with a NaN draws no code and is not masked again; the others are as they were."""
    cond = logits_of((1, 6, 10), 5)[0]
    cond[0, 1, 4], cond[0, 3, 2], cond[0, 4] = torch.nan, torch.inf, -torch.inf
    drawn, after = check(cond, None, begin(1, 6), torch.tensor([[2.0, 0.5]]), 0, 0.0)
    assert drawn[0, 1] == after[0, 1] == 10
    assert drawn[0, 3] == 2
    assert (after[0, [0, 2, 5]] < 0).sum() == 2


def test_a_story_does_not_depend_on_its_neighbours():
    cond, uncond = logits_of((3, 2, 15), 8)
    codes, schedule = begin(3, 2), maskgit_schedule(2, 3)
    together = check(cond, uncond, codes, schedule, 0, 1.75)
    inputs = (cond[1:2], uncond[1:2], codes[1:2], KEYS[1:2], SCORE_KEYS[1:2], schedule, torch.tensor([0]), 1.75)
    alone = maskgit_step(*inputs)
    assert all(torch.equal(mine[1], yours[0]) for mine, yours in zip(together, alone, strict=True))


def test_strided_inputs_poisoned_outputs_and_no_stories(monkeypatch):
    cond, uncond = logits_of((4, 2, 10), 9).transpose(1, 2)
    codes = begin(4, 2).T
    assert not any(value.is_contiguous() for value in (cond, uncond, codes))
    monkeypatch.setattr(module.torch, "empty_like", lambda value: torch.full(value.shape, -7, dtype=value.dtype))
    drawn, after = check(cond, uncond, codes, maskgit_schedule(4, 3).T.contiguous().T, 1, 1.75)
    assert (drawn >= 0).all()
    assert (after >= -1).all()
    none = maskgit_step(cond[:0], None, codes[:0], KEYS[:0], SCORE_KEYS[:0], maskgit_schedule(4, 3), torch.tensor([0]))
    assert [value.shape for value in none] == [(0, 4), (0, 4)]


def test_a_row_fits_its_block():
    assert choose_block(8192) == (2048, 8)
    assert choose_block(1) == (16, 4)
    assert choose_block(600) == (1024, 4)


def test_guidance_needs_both_branches():
    cond = torch.zeros(1, 2, 4)
    with pytest.raises(ValueError, match=r"guidance 2\.0 needs the unconditional logits; choose 0 or give them"):
        maskgit_step(cond, None, begin(1, 2), KEYS[:1], SCORE_KEYS[:1], maskgit_schedule(2, 2), torch.tensor([0]), 2.0)


def test_shapes_are_known_without_running():
    with torch.device("meta"):
        cond, codes = torch.empty(2, 256, 8192), torch.empty(2, 256, dtype=torch.int64)
        keys, step = torch.empty(2, 4, dtype=torch.int64), torch.empty(1, dtype=torch.int64)
        found = maskgit_step(cond, cond, codes, keys, keys, torch.empty(18, 2), step, 1.75)
    assert [value.shape for value in found] == [(2, 256)] * 2
    assert found[1].dtype == torch.int64
