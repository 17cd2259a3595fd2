"""Measures of drawn stories: pure functions of arrays; S stories of F frames each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...quality import frechet
from ...quality.cosines import cosines
from ...quality.statistics import resampled_means

Array = NDArray[np.float64]


def _floats(values: ArrayLike, ndim: int, name: str) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != ndim or array.size == 0:
        raise ValueError(f"{name} must be a non-empty array of {ndim} dimensions, got shape {list(array.shape)}")
    return array


def accuracy_table(
    predicted: Mapping[str, ArrayLike], truth: Mapping[str, ArrayLike]
) -> dict[str, dict[str, float | list[float]]]:
    """Share of right frames by label: ``{label: {"overall": a, "by_frame": [a_1 .. a_F]}}``.

    Both map a label to class numbers ``[S, F]``. ValueError if a label's shapes differ or it is missing.
    """
    table: dict[str, dict[str, float | list[float]]] = {}
    for label, values in predicted.items():
        if label not in truth:
            raise ValueError(f"no truth for label {label!r}; truth has {', '.join(sorted(truth))}")
        right = correct(values, truth[label])
        table[label] = {"overall": float(right.mean()), "by_frame": right.mean(axis=0).tolist()}
    return table


def correct(predicted: ArrayLike, truth: ArrayLike) -> Array:
    """1 where the class numbers ``[S, F]`` agree, else 0; ValueError if the shapes differ."""
    a, b = _floats(predicted, 2, "predicted"), _floats(truth, 2, "truth")
    if a.shape != b.shape:
        raise ValueError(f"predicted is {list(a.shape)} but truth is {list(b.shape)}")
    return (a == b).astype(np.float64)


def frechet_distance(first: ArrayLike, second: ArrayLike) -> float:
    """Frechet distance of two feature sets ``[N, D]``. Its bias depends on N, so both must have the same N: ValueError
    otherwise, or for fewer than two rows."""
    a, b = _floats(first, 2, "first"), _floats(second, 2, "second")
    if a.shape != b.shape or len(a) < 2:
        raise ValueError(f"feature sets must have one shape [N >= 2, D], got {list(a.shape)} and {list(b.shape)}")
    return max(0.0, frechet.frechet_distance(a, b))


def frame_consistency(embeddings: ArrayLike) -> Array:
    """Mean cosine of consecutive frames for each story: ``[S, F >= 2, D]`` -> ``[S]``."""
    x = _floats(embeddings, 3, "embeddings")
    if x.shape[1] < 2:
        raise ValueError("embeddings must hold at least 2 frames a story, got 1")
    return cosines(x[:, :-1], x[:, 1:]).mean(axis=1)


def text_image_similarity(images: ArrayLike, texts: ArrayLike) -> Array:
    """Cosine of each frame's embedding with its sentence's: ``[S, F, D]`` twice -> ``[S, F]``."""
    a, b = _floats(images, 3, "images"), _floats(texts, 3, "texts")
    if a.shape != b.shape:
        raise ValueError(f"images is {list(a.shape)} but texts is {list(b.shape)}")
    return cosines(a, b)


def background_change(frames: ArrayLike, rows: float = 0.3) -> Array:
    """Mean absolute change of the upper ``rows`` share of the picture between consecutive frames, per story.

    ``[S, F >= 2, H, W, 3]`` in 0..255 -> ``[S]`` in the same levels. The animals are in the lower half, so it measures
    how far the background's layout wanders.
    """
    array = np.asarray(frames)
    if array.ndim != 5 or array.shape[1] < 2:
        raise ValueError(f"frames must be [S, F >= 2, H, W, 3], got {list(array.shape)}")
    if not 0 < rows <= 1:
        raise ValueError(f"rows must be above 0 and at most 1, got {rows}")
    upper = array[:, :, : max(1, round(rows * array.shape[2]))].astype(np.float32)
    change = np.abs(np.diff(upper, axis=1)).mean(axis=(1, 2, 3, 4))
    return change.astype(np.float64)


@dataclass(frozen=True)
class Interval:
    """A mean over stories and its bootstrap interval."""

    mean: float
    low: float
    high: float


def bootstrap(values: ArrayLike, level: float = 0.95, samples: int = 4000, seed: int = 0) -> Interval:
    """Percentile interval of the mean of one value a story ``[S]``, by drawing whole stories with replacement.

    Frames of a story are not independent, so average them first (`by_story`).
    """
    x = _floats(values, 1, "values")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    low, high = np.quantile(resampled_means(x, np.ones(len(x)), samples, seed), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(x.mean()), float(low), float(high))


def by_story(values: ArrayLike) -> Array:
    """Mean over the frames: ``[S, F]`` -> ``[S]``."""
    return _floats(values, 2, "values").mean(axis=1)


def paired_difference(
    first: ArrayLike, second: ArrayLike, level: float = 0.95, samples: int = 4000, seed: int = 0
) -> Interval:
    """Bootstrap of ``first - second`` where entry i of both ``[S]`` is the same story."""
    a, b = _floats(first, 1, "first"), _floats(second, 1, "second")
    if a.shape != b.shape:
        raise ValueError(f"a paired difference needs the same stories, got {len(a)} and {len(b)}")
    return bootstrap(a - b, level, samples, seed)
