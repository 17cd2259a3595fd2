"""Times of requests: a function of seed and rate alone, and a Poisson process."""

from __future__ import annotations

from itertools import pairwise
from math import exp, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acdc.bench.serve.arrivals import arrivals

rates = st.floats(1e-3, 1e4)
seeds = st.integers(0, 2**64 - 1)


@given(count=st.integers(1, 50), rate=rates, seed=seeds)
def test_times_are_a_function_of_seed_and_rate(count, rate, seed):
    times = arrivals(count, rate, seed)
    assert times == arrivals(count, rate, seed)
    assert times[0] == 0.0
    assert list(times) == sorted(times)


@given(count=st.integers(1, 50), more=st.integers(1, 50), rate=rates, seed=seeds)
def test_a_longer_load_begins_as_a_shorter_one(count, more, rate, seed):
    assert arrivals(count + more, rate, seed)[:count] == arrivals(count, rate, seed)


@given(count=st.integers(2, 50), rate=rates, seed=seeds)
def test_another_rate_stretches_the_same_times(count, rate, seed):
    assert arrivals(count, 2 * rate, seed) == pytest.approx([time / 2 for time in arrivals(count, rate, seed)])


def test_gaps_are_exponential():
    times = arrivals(20_000, 4.0, 7)
    gaps = [after - before for before, after in pairwise(times)]
    assert sum(gaps) / len(gaps) == pytest.approx(0.25, rel=0.02)
    for length in (0.1, 0.25, 0.5, 1.0):
        assert sum(gap > length for gap in gaps) / len(gaps) == pytest.approx(exp(-4 * length), abs=0.01)


def test_other_seeds_are_other_times():
    assert arrivals(5, 1.0, 1) != arrivals(5, 1.0, 2)


def test_an_infinite_rate_sends_all_at_once():
    assert arrivals(3, inf, 0) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_that_is_not_positive_is_refused(rate):
    with pytest.raises(ValueError, match=r"request rate .* is not positive"):
        arrivals(1, rate, 0)
