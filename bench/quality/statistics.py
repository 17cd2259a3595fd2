"""Means over stories and their intervals. Stories are drawn again, never frames: frames of one story are alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
LEVEL, SAMPLES, SEED = 0.95, 4000, 0
DEVIATIONS = 1.959964  # of a normal distribution, which hold 95 % of it


class Interval(NamedTuple):
    """A value and its interval; ``low`` and ``high`` are None where one story alone says nothing about others."""

    value: float
    low: float | None = None
    high: float | None = None


def mean_interval(values: ArrayLike, level: float = LEVEL, samples: int = SAMPLES, seed: int = SEED) -> Interval:
    """The mean of one value a story, ``[S]``, and its percentile bootstrap interval over stories.

    Raises ``ValueError`` for no story, and for a value that is not finite.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not x.size or not np.isfinite(x).all():
        raise ValueError(f"give one finite value a story, got shape {list(x.shape)}")
    if len(x) == 1:
        return Interval(float(x[0]))
    rng = np.random.default_rng(seed)
    means = np.array([x[rng.integers(0, len(x), len(x))].mean() for _ in range(samples)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(x.mean()), float(low), float(high))


def weighted_interval(
    values: ArrayLike, weights: ArrayLike, level: float = LEVEL, samples: int = SAMPLES, seed: int = SEED
) -> Interval:
    """As :func:`mean_interval`, of the mean over frames or pairs: each story counts by how many it has, ``weights``
    ``[S]``."""
    x, w = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if x.shape != w.shape or x.ndim != 1 or not x.size or not np.isfinite(x).all() or not (w > 0).all():
        raise ValueError(f"give one finite value and one count a story, got {list(x.shape)} and {list(w.shape)}")
    value = float((x * w).sum() / w.sum())
    if len(x) == 1:
        return Interval(value)
    rng, sums = np.random.default_rng(seed), x * w
    draws = (rng.integers(0, len(x), len(x)) for _ in range(samples))
    means = np.array([sums[drawn].sum() / w[drawn].sum() for drawn in draws])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def paired_interval(first: ArrayLike, second: ArrayLike, **how: float) -> Interval:
    """Mean of ``first - second``, where entry i of both is one story drawn by two systems."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"a paired difference needs the same stories, got {len(a)} and {len(b)}")
    return mean_interval(a - b, **how)  # type: ignore[arg-type]


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
