"""Frechet distance of Gaussians (FID, arXiv 1706.08500, Eq. 6) from few samples and from many, in float64."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
BLOCK = 1024  # rows at a time


class Moments(NamedTuple):
    """Mean ``[D]``, covariance ``[D, D]`` (n - 1), and how many samples they are of; ``n`` is None where a file does
    not say it."""

    mean: Array
    covariance: Array
    n: int | None


def moments(rows: ArrayLike) -> Moments:
    """Moments of ``[N >= 2, D]``; rows become float64 by blocks, so that many take no more memory than they have."""
    x = _samples(rows)
    mean, total = x.mean(0, dtype=np.float64), np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), BLOCK):
        centred = x[start : start + BLOCK] - mean
        total += centred.T @ centred
    return Moments(mean, total / (len(x) - 1), len(x))


def frechet_distance(first: ArrayLike, second: ArrayLike) -> float:
    """Distance of rows ``[N1, D]`` and ``[N2, D]``, at least two each.

    With less samples than D + 1 the covariances have not full rank, and tr (S1 S2)^1/2 is the nuclear norm of X1 X2^T
    (centred) over sqrt((N1 - 1)(N2 - 1)): the singular values of a small matrix instead of a large one's eigenvalues.
    """
    a, b = _samples(first), _samples(second)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"features have {a.shape[1]} and {b.shape[1]} numbers; both sets need one network")
    if max(len(a), len(b)) > a.shape[1]:
        return moments_distance(moments(a), moments(b))
    a_mean, b_mean = a.mean(0, dtype=np.float64), b.mean(0, dtype=np.float64)
    a, b = (a - a_mean) / np.sqrt(len(a) - 1), (b - b_mean) / np.sqrt(len(b) - 1)
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    gap = a_mean - b_mean
    return float(gap @ gap + (a * a).sum() + (b * b).sum() - 2 * cross)


def moments_distance(first: Moments, second: Moments) -> float:
    """|m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1^1/2 S2 S1^1/2)^1/2; eigenvalues that rounding made negative count as 0."""
    if first.mean.shape != second.mean.shape:
        raise ValueError(f"statistics are of {len(first.mean)} and {len(second.mean)} numbers; both need one network")
    values, vectors = np.linalg.eigh(first.covariance)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ second.covariance @ root).clip(0)).sum()
    gap = first.mean - second.mean
    return float(gap @ gap + np.trace(first.covariance) + np.trace(second.covariance) - 2 * cross)


def _samples(rows: ArrayLike) -> NDArray[np.floating[Any]]:
    x = np.asarray(rows)
    x = x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"a Frechet distance needs two frames a set at least, got shape {list(x.shape)}")
    return x
