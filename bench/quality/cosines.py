"""Cosines of embeddings, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

TINY = 1e-12  # of a norm: a row of zeros has cosine 0 with every other


def cosines(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Cosine of rows, ``[..., D]`` twice -> ``[...]``."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.asarray((a * b).sum(axis=-1) / np.maximum(norms, TINY))
