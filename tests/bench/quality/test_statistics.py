"""Intervals over stories, and distances of few and of many samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.bench.quality.frechet import frechet_distance, moments, moments_distance
from acdc.bench.quality.kernel_distance import cubic, gaussian, grouped, kernel_sums
from acdc.bench.quality.metrics.consistency import shuffled
from acdc.bench.quality.metrics.distances import kernel_interval
from acdc.bench.quality.statistics import mean_interval, paired_interval, spread_interval


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_an_interval_holds_the_mean_as_often_as_it_says():
    held = 0
    for seed in range(100):
        found = mean_interval(random(seed, 30), samples=200, seed=seed)
        held += found.low <= 0 <= found.high
    assert 88 <= held <= 99  # 95 % of 100, a little less for a bootstrap of 30


def test_one_story_has_no_interval_and_none_is_refused():
    assert mean_interval([0.5]).low is None
    assert mean_interval([0.5], [3]).high is None
    for wrong in ([], [np.nan], [[1.0]]):
        with pytest.raises(ValueError, match="one finite value a story"):
            mean_interval(wrong)


def test_paired_stories_have_a_narrower_interval():
    stories, gain = random(0, 40), 0.1 + 0.01 * random(1, 40)
    paired = paired_interval(stories + gain, stories)
    alone = mean_interval(stories)
    assert paired.low > 0
    assert paired.high - paired.low < (alone.high - alone.low) / 10
    with pytest.raises(ValueError, match="got 2 and 3"):
        paired_interval([1, 2], [1, 2, 3])


def test_pairs_count_in_a_weighted_mean():
    assert mean_interval([1.0, 0.0], [3, 1]).value == 0.75


@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 20), st.integers(0, 99))
def test_few_samples_and_covariances_give_one_distance(n, m, width, seed):
    a, b = random(seed, n, width), 1.5 * random(seed + 1, m, width) + 0.3
    wanted = moments_distance(moments(a), moments(b))
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-5, abs=1e-5)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


@settings(max_examples=25)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=5), st.lists(st.integers(0, 2), min_size=5, max_size=5))
def test_weighing_sums_is_drawing_stories_again(counts, times):
    own = [random(n, count, 6) for n, count in enumerate(counts)]
    others = [random(50 + n, 3, 6) for n in range(3)]
    weights = np.array(times[: len(own)], dtype=float)
    drawn = [rows for rows, count in zip(own, times, strict=False) for _ in range(count)]
    if sum(map(len, drawn)) < 2:
        return
    for kernel in (cubic, gaussian):
        sums, again = kernel_sums(own, others, kernel), kernel_sums(drawn, others, kernel)
        for unbiased in (True, False):
            assert sums.distance(unbiased, weights) == pytest.approx(again.distance(unbiased), rel=1e-9, abs=1e-9)


def test_many_stories_are_drawn_again_in_groups():
    stories = [random(n, 2, 3) for n in range(300)]
    groups = grouped(stories, 256)
    assert len(groups) == 150
    assert np.array_equal(np.concatenate(groups), np.concatenate(stories))
    assert grouped(stories[:5], 256)[4] is not None
    found = kernel_interval(stories, stories[:10], "kid")
    assert found.value == pytest.approx(kernel_sums(stories, stories[:10], cubic).distance(True))


def test_kid_is_the_mean_over_all_pairs():
    a, b = random(0, 7, 4), random(1, 5, 4)

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return (x @ y / 4 + 1) ** 3

    within = [np.mean([k(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j]) for x in (a, b)]
    wanted = sum(within) - 2 * np.mean([k(x, y) for x in a for y in b])
    assert kernel_sums([a], [b], cubic).distance(True) == pytest.approx(wanted)


def test_a_spread_is_symmetric():
    found = spread_interval(2.0, lambda rng: rng.normal(), 2000)
    assert found.high - found.value == pytest.approx(found.value - found.low)
    assert found.high - found.value == pytest.approx(1.96, rel=0.1)


def test_shuffled_frames_follow_frames_of_other_stories():
    rows = [np.full((4, 1), story) + 10 * np.arange(4)[:, None] for story in range(3)]
    for one in shuffled(rows):
        assert (np.diff(one[:, 0] % 10) != 0).all()
        assert (one[:, 0] // 10 == np.arange(4)).all()
