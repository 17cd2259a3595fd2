"""The storyworld's measures against answers known in closed form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.bench.storyworld.study import metrics

pytestmark = pytest.mark.measuring


def standardised(seed: int, count: int = 400, dim: int = 5) -> np.ndarray:
    """Features whose sample mean is 0 and sample covariance the identity, exactly."""
    x = np.random.default_rng(seed).standard_normal((count, dim))
    x -= x.mean(axis=0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T


def test_frechet_of_a_shift_is_its_squared_length():
    x, shift = standardised(0), np.array([1.0, -2.0, 0.5, 0.0, 3.0])
    assert metrics.frechet_distance(x, x + shift) == pytest.approx(shift @ shift)


def test_frechet_of_scaled_axes():
    x, scale = standardised(1), np.array([1.0, 2.0, 3.0, 0.5, 0.0])
    assert metrics.frechet_distance(x, x * scale) == pytest.approx(((scale - 1) ** 2).sum())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), dim=st.integers(1, 8), count=st.integers(2, 60))
def test_frechet_is_a_symmetric_and_zero_for_the_same(seed: int, dim: int, count: int):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, count, dim)) * rng.uniform(0.1, 3)
    forth, back = metrics.frechet_distance(a, b), metrics.frechet_distance(b, a)
    assert forth >= 0
    assert forth == pytest.approx(back, abs=1e-6)
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert metrics.frechet_distance(a, rng.permutation(a)) == pytest.approx(0, abs=1e-6)


def test_frechet_wants_equal_counts():
    with pytest.raises(ValueError, match=r"got \[4, 3\] and \[5, 3\]"):
        metrics.frechet_distance(np.zeros((4, 3)), np.zeros((5, 3)))


def test_accuracy_by_label_and_frame():
    truth = {"animal": [[0, 1, 2], [3, 4, 5]]}
    table = metrics.accuracy_table({"animal": [[0, 1, 0], [3, 0, 0]]}, truth)
    assert table["animal"]["overall"] == pytest.approx(0.5)
    assert table["animal"]["by_frame"] == pytest.approx([1.0, 0.5, 0.0])


def test_accuracy_bad_input():
    with pytest.raises(ValueError, match="no truth for label 'prop'"):
        metrics.accuracy_table({"prop": [[1]]}, {"animal": [[1]]})
    with pytest.raises(ValueError, match="but truth is"):
        metrics.correct([[1, 2]], [[1], [2]])


def test_frame_consistency_of_equal_opposite_and_right_angles():
    a, b = np.array([2.0, 0.0]), np.array([0.0, 5.0])
    stories = np.array([[a, a, a], [a, -a, a], [a, b, a]])
    assert metrics.frame_consistency(stories) == pytest.approx([1.0, -1.0, 0.0])
    with pytest.raises(ValueError, match="2 frames"):
        metrics.frame_consistency(stories[:, :1])


def test_text_image_similarity_is_a_cosine_a_frame():
    x = np.random.default_rng(2).standard_normal((3, 2, 4))
    assert metrics.text_image_similarity(x, 7 * x) == pytest.approx(np.ones((3, 2)))
    assert metrics.text_image_similarity(x, -x) == pytest.approx(-np.ones((3, 2)))
    with pytest.raises(ValueError, match="texts is"):
        metrics.text_image_similarity(x, x[:, :1])


def test_background_change_reads_the_upper_rows_only():
    frames = np.zeros((1, 3, 10, 8, 3), dtype=np.uint8)
    frames[0, 1, 3:] = 255  # below the upper 30 %
    assert metrics.background_change(frames) == pytest.approx([0.0])
    frames[0, 1, :3] = 200  # there and back again; uint8 must not wrap round
    assert metrics.background_change(frames) == pytest.approx([200.0])
    with pytest.raises(ValueError, match="rows must be"):
        metrics.background_change(frames, rows=0)
    with pytest.raises(ValueError, match="frames must be"):
        metrics.background_change(frames[:, :1])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-10, 10), min_size=1, max_size=40), st.integers(0, 99))
def test_bootstrap_brackets_the_mean_and_repeats(values: list[float], seed: int):
    interval = metrics.bootstrap(values, samples=300, seed=seed)
    assert interval == metrics.bootstrap(values, samples=300, seed=seed)
    assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9
    wider = metrics.bootstrap(values, level=0.999, samples=300, seed=seed)
    assert wider.low <= interval.low
    assert wider.high >= interval.high


def test_bootstrap_has_the_width_of_the_standard_error():
    x = np.random.default_rng(3).standard_normal(400)
    interval = metrics.bootstrap(x)
    expected = 2 * 1.96 * x.std() / np.sqrt(len(x))
    assert interval.high - interval.low == pytest.approx(expected, rel=0.1)


def test_paired_difference_cancels_what_stories_share():
    hard = np.random.default_rng(4).uniform(0, 1, 50)
    interval = metrics.paired_difference(hard + 0.25, hard)
    assert (interval.low, interval.mean, interval.high) == pytest.approx((0.25, 0.25, 0.25))
    with pytest.raises(ValueError, match="same stories"):
        metrics.paired_difference([1.0], [1.0, 2.0])


def test_by_story_averages_the_frames():
    assert metrics.by_story([[1, 0], [1, 1]]) == pytest.approx([0.5, 1.0])
    with pytest.raises(ValueError, match="2 dimensions"):
        metrics.by_story([1.0])
