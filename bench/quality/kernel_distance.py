"""Maximum mean discrepancy of two sets: KID (arXiv 1801.01401) and CMMD (arXiv 2401.09603), from sums over stories.

A set is a list of stories' rows. Kernel sums are kept for each pair of stories, so that drawing stories again weighs
numbers that are there, and computes no kernel twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]  # [F, D] of a story
Kernel = Callable[[Array, Array], Array]  # [N, D], [M, D] -> [N, M]
BLOCK = 256  # rows of a kernel matrix at a time
SIGMA, SCALE = 10.0, 1000.0  # of CMMD


def cubic(x: Array, y: Array) -> Array:
    """KID's kernel, (x.y / D + 1)^3."""
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def gaussian(x: Array, y: Array) -> Array:
    """CMMD's kernel, exp(-|x - y|^2 / (2 sigma^2)) with sigma 10, times its factor 1000."""
    squares = (x * x).sum(1)[:, None] + (y * y).sum(1)[None] - 2 * x @ y.T
    return np.asarray(SCALE * np.exp(-squares.clip(0) / (2 * SIGMA**2)))


@dataclass(frozen=True)
class KernelSums:
    """Sums over pairs of stories: ``first`` [S, S], ``second`` [R, R], ``cross`` [S, R]. Kernels of each frame with
    itself are summed in ``own_first`` [S] and ``own_second`` [R]; ``counts_first`` and ``counts_second`` are frames."""

    first: Array
    second: Array
    cross: Array
    own_first: Array
    own_second: Array
    counts_first: Array
    counts_second: Array

    def distance(self, unbiased: bool, first: Array | None = None, second: Array | None = None) -> float:
        """MMD^2 where story s is there ``first[s]`` times, and ``second[r]`` (None: once each).

        ``unbiased`` leaves out each frame's kernel with itself (KID, over all pairs); else it counts (CMMD).
        """
        a = np.ones(len(self.counts_first)) if first is None else first
        b = np.ones(len(self.counts_second)) if second is None else second
        n, m = a @ self.counts_first, b @ self.counts_second
        within_a, within_b = a @ self.first @ a, b @ self.second @ b
        if unbiased:
            within_a = (within_a - a @ self.own_first) / (n * (n - 1))
            within_b = (within_b - b @ self.own_second) / (m * (m - 1))
        else:
            within_a, within_b = within_a / n**2, within_b / m**2
        return float(within_a + within_b - 2 * (a @ self.cross @ b) / (n * m))


def grouped(stories: Sequence[Rows], most: int) -> list[Rows]:
    """Stories as at most that many groups of neighbours: the sums of many stories would take more memory than their
    frames."""
    size = -(-len(stories) // most)
    return [np.concatenate(stories[start : start + size]) for start in range(0, len(stories), size)]


def kernel_sums(first: Sequence[Rows], second: Sequence[Rows], kernel: Kernel) -> KernelSums:
    """Kernel sums of two sets, from the rows ``[F, D]`` of each story."""
    a, b = np.concatenate(first).astype(np.float64), np.concatenate(second).astype(np.float64)
    counts = [np.array([len(rows) for rows in part]) for part in (first, second)]
    return KernelSums(
        _by_story(a, a, counts[0], counts[0], kernel),
        _by_story(b, b, counts[1], counts[1], kernel),
        _by_story(a, b, counts[0], counts[1], kernel),
        _own(a, counts[0], kernel),
        _own(b, counts[1], kernel),
        counts[0].astype(np.float64),
        counts[1].astype(np.float64),
    )


def _by_story(x: Array, y: Array, rows: NDArray[np.intp], columns: NDArray[np.intp], kernel: Kernel) -> Array:
    """Kernel sums [stories of x, stories of y], by blocks of x's rows."""
    starts = np.concatenate([[0], np.cumsum(columns)[:-1]])
    by_row = np.concatenate(
        [np.add.reduceat(kernel(x[start : start + BLOCK], y), starts, axis=1) for start in range(0, len(x), BLOCK)]
    )
    return np.asarray(np.add.reduceat(by_row, np.concatenate([[0], np.cumsum(rows)[:-1]]), axis=0))


def _own(x: Array, counts: NDArray[np.intp], kernel: Kernel) -> Array:
    own = np.array([kernel(row[None], row[None])[0, 0] for row in x])
    return np.asarray(np.add.reduceat(own, np.concatenate([[0], np.cumsum(counts)[:-1]])))
