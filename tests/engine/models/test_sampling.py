"""Policies: each rule alone, their order, and what never happens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from acdc.engine.options import LOWEST_TEMPERATURE
from acdc.engine.sampling import SamplingParams, allow, choose, force, guide, keep_top_k, keep_top_p
from acdc.engine.utils.rng import Purpose, gumbel, make_keys

VOCAB = 12
logit_rows = st.lists(st.integers(-40, 40).map(lambda n: n / 8), min_size=VOCAB, max_size=VOCAB).map(
    lambda row: torch.tensor([row], dtype=torch.float64)
)
seeds = st.integers(0, 2**32)
TEMPERATURES = st.just(0.0) | st.floats(LOWEST_TEMPERATURE, 3)


def noise(seed: int, rows: int = 1) -> Tensor:
    return gumbel(make_keys([seed], 0, Purpose.TOKEN), torch.arange(rows), VOCAB)[0]


@given(logit_rows, st.integers(1, VOCAB), seeds)
def test_top_k_never_leaves_the_set(logits: Tensor, k: int, seed: int) -> None:
    token = choose(logits, None, noise(seed), SamplingParams(top_k=k)).item()
    assert (logits > logits[0, int(token)]).sum() < k


@given(logit_rows, st.integers(0, VOCAB - 1), st.integers(1, VOCAB), seeds, TEMPERATURES, st.floats(0.01, 1))
def test_tokens_stay_in_the_allowed_range(
    logits: Tensor, first: int, size: int, seed: int, temperature: float, top_p: float
) -> None:
    end = min(first + size, VOCAB)
    params = SamplingParams(temperature=temperature, top_k=3, top_p=top_p, allowed=(first, end))
    assert first <= choose(logits, None, noise(seed), params).item() < end


@given(logit_rows, st.floats(0.01, 0.99))
def test_top_p_keeps_the_fewest_ids_that_reach_p(logits: Tensor, p: float) -> None:
    share, kept = logits.softmax(-1), keep_top_p(logits, p).isfinite()
    assert share[kept].sum() >= p - 1e-12
    worst = logits[kept].min()
    assert share[logits > worst].sum() < p + 1e-12
    assert not (logits[~kept] >= worst).any()


@given(logit_rows, seeds)
def test_top_k_of_one_and_temperature_zero_agree(logits: Tensor, seed: int) -> None:
    logits = logits + torch.arange(VOCAB) * 1e-6  # no ties
    greedy = choose(logits, None, None, SamplingParams(temperature=0))
    assert torch.equal(choose(logits, None, noise(seed), SamplingParams(top_k=1)), greedy)
    assert greedy.item() == logits.argmax()


@settings(deadline=None)  # the first example waits for torch's first operators
@given(logit_rows, logit_rows, st.integers(0, 8))
def test_guidance_is_linear_and_one_means_cond(cond: Tensor, uncond: Tensor, scale: int) -> None:
    torch.testing.assert_close(guide(cond, uncond, scale), (1 - scale) * uncond + scale * cond)
    assert torch.equal(guide(cond, None, 1.0), cond)


def test_guidance_is_computed_in_float32() -> None:
    cond, uncond = torch.tensor([[1.001]]).bfloat16(), torch.tensor([[1.0]]).bfloat16()
    assert guide(cond, uncond, 5.0).dtype == torch.float32


def test_rows_are_sampled_alike_alone_or_together() -> None:
    """The basis of parallel decoding: a position's token depends on its own logits and noise only."""
    torch.manual_seed(0)
    logits, draws, params = torch.randn(7, VOCAB), noise(3, rows=7), SamplingParams(top_k=5, top_p=0.9, temperature=0.8)
    together = choose(logits, None, draws, params)
    alone = [choose(logits[i : i + 1], None, draws[i : i + 1], params) for i in range(7)]
    assert torch.equal(together, torch.cat(alone))


def test_draws_follow_the_softmax() -> None:
    logits, count = torch.tensor([2.0, 1.0, 0.0, *[-30.0] * (VOCAB - 3)]), 20000
    tokens = choose(logits.expand(count, -1), None, noise(5, rows=count), SamplingParams(temperature=2.0))
    share = torch.bincount(tokens, minlength=VOCAB) / count
    torch.testing.assert_close(share, (logits / 2).softmax(-1), rtol=0, atol=0.015)


def test_temperature_acts_before_top_p() -> None:
    """At T = 1 the best id holds 0.9, at T = 4 only 0.63: with p = 0.8 the second joins only if T came first."""
    logits = torch.tensor([[0.9, 0.1, *[1e-30] * (VOCAB - 2)]]).log()
    push = torch.zeros(1, VOCAB)
    push[0, 1] = 50.0
    assert choose(logits, None, push, SamplingParams(top_p=0.8)).item() == 0
    assert choose(logits, None, push, SamplingParams(top_p=0.8, temperature=4.0)).item() == 1


def test_forbidden_ids_do_not_use_up_top_k() -> None:
    logits = torch.arange(VOCAB, dtype=torch.float32)[None]
    kept = keep_top_k(allow(logits, (0, 5)), 2).isfinite()
    assert kept.nonzero()[:, 1].tolist() == [3, 4]


def test_ties_with_the_last_of_top_k_stay() -> None:
    assert keep_top_k(torch.tensor([[1.0, 3.0, 1.0, 0.0]]), 2).isfinite().tolist() == [[True, True, True, False]]


def test_forced_ids_overwrite_everything() -> None:
    tokens = force(torch.tensor([1, 2, 3]), torch.tensor([-1, 9, 0]))
    assert tokens.tolist() == [1, 9, 0]
    params = SamplingParams(temperature=0, allowed=(0, 3))
    assert choose(torch.zeros(1, VOCAB), None, None, params, torch.tensor([11])).item() == 11


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"temperature": 1e-9}, "temperature 1e-09 is out"),
        ({"temperature": -1.0}, "temperature -1.0 is out of range; choose 0"),
        ({"top_k": 0}, "top_k 0 is out of range"),
        ({"top_p": 0.0}, "top_p 0.0 is out of range"),
        ({"top_p": 1.5}, "top_p 1.5 is out of range"),
        ({"allowed": (5, 5)}, r"allowed ids \(5, 5\) are not a range"),
    ],
)
def test_bad_settings_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SamplingParams(**setting)  # type: ignore[arg-type]
