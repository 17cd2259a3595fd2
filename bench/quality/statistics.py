"""Means over stories and their intervals. Stories are drawn again, never frames: frames of one story are alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
LEVEL, SAMPLES, SEED = 0.95, 4000, 0
INDICES = 1 << 20  # of stories drawn again at a time: 8 MiB
DEVIATIONS = 1.959964  # of a normal distribution, which hold 95 % of it


class Interval(NamedTuple):
    """A value and its interval; ``low`` and ``high`` are None where one story alone says nothing about others."""

    value: float
    low: float | None = None
    high: float | None = None


def mean_interval(
    values: ArrayLike,
    weights: ArrayLike | None = None,
    level: float = LEVEL,
    samples: int = SAMPLES,
    seed: int = SEED,
) -> Interval:
    """The mean of one value a story, ``[S]``, and its percentile bootstrap interval over stories.

    ``weights`` ``[S]`` are how many frames or pairs a story has, for a mean over those; None: stories count alike.
    Raises ``ValueError`` for no story, and for a value that is not finite.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not x.size or not np.isfinite(x).all():
        raise ValueError(f"give one finite value a story, got shape {list(x.shape)}")
    w = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != x.shape or not (w > 0).all():
        raise ValueError(f"give one positive weight a story, got {list(w.shape)} for {len(x)} stories")
    value = float((x * w).sum() / w.sum())
    if len(x) == 1:
        return Interval(value)
    low, high = np.quantile(resampled_means(x, w, samples, seed), [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def resampled_means(values: Array, weights: Array, samples: int = SAMPLES, seed: int = SEED) -> Array:
    """Weighted means ``[samples]`` of stories that are drawn again with replacement, ``[S]`` each time."""
    rng, count, sums, means = np.random.default_rng(seed), len(values), values * weights, []
    block = max(1, INDICES // count)
    for start in range(0, samples, block):
        drawn = rng.integers(0, count, (min(block, samples - start), count))
        means.append(sums[drawn].sum(1) / weights[drawn].sum(1))
    return np.concatenate(means)


def paired_interval(first: ArrayLike, second: ArrayLike) -> Interval:
    """Mean of ``first - second``, where entry i of both is one story drawn by two systems."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"a paired difference needs the same stories, got {len(a)} and {len(b)}")
    return mean_interval(a - b)


def spread_interval(
    value: float, resampled: Callable[[np.random.Generator], float], samples: int, seed: int = SEED
) -> Interval:
    """``value`` more and less 1.96 standard deviations of ``samples`` values of resampled stories.

    A distance of distributions grows when stories repeat, so the percentiles of its resamples are off; their
    spread does not.
    """
    rng = np.random.default_rng(seed)
    deviation = float(np.std([resampled(rng) for _ in range(samples)], ddof=1))
    return Interval(value, value - DEVIATIONS * deviation, value + DEVIATIONS * deviation)
