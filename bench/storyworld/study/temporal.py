"""Measures of clips besides those of single frames; S clips of F frames each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..judge.judge import Judge
from .metrics import Array, Interval, bootstrap, paired_difference

SHOWN = ("animal", "setting")


def temporal_jump(features: ArrayLike) -> Array:
    """Mean jump of a clip from frame to frame: ``[S, F >= 2, D]`` judge features -> ``[S]``, lower is smoother.

    The mean Euclidean distance between the features of consecutive frames, sum over k of |z_(k+1) - z_k| / (F - 1):
    the length of the clip's path through the space in which the judge tells animals, settings and actions apart. A
    smooth clip takes short steps; flicker, a changed animal or a new background are long ones. Order counts: a clip's
    frames shuffled have the same features and a longer path. A frozen clip has 0, so read it together with `movement`.
    """
    path = np.asarray(features, dtype=np.float64)
    if path.ndim != 3 or path.shape[1] < 2:
        raise ValueError(f"features must be [S, F >= 2, D], got {list(path.shape)}")
    steps: Array = np.linalg.norm(np.diff(path, axis=1), axis=-1)
    return steps.mean(axis=1)


def movement(clips: ArrayLike) -> Array:
    """Mean absolute change of the pixels from frame to frame: uint8 ``[S, F >= 2, H, W, 3]`` -> ``[S]`` levels."""
    array = np.asarray(clips)
    if array.ndim != 5 or array.shape[1] < 2:
        raise ValueError(f"clips must be [S, F >= 2, H, W, 3], got {list(array.shape)}")
    return np.array([np.abs(np.diff(clip.astype(np.float32), axis=0)).mean(dtype=np.float64) for clip in array])


def right_frames(judge: Judge, clips: NDArray[np.uint8], truth: Mapping[str, ArrayLike]) -> Array:
    """1 where the judge finds the right animal and setting, else 0: ``[S, F]``; ``truth`` has a class a clip."""
    count, frames = clips.shape[:2]
    found = judge.predict(clips.reshape(-1, *clips.shape[2:]))
    right = np.ones((count, frames))
    for label in SHOWN:
        classes = np.asarray(truth[label])
        if classes.shape != (count,):
            raise ValueError(f"truth of {label!r} is {list(classes.shape)}; give one class for each of {count} clips")
        right *= found[label].argmax(-1).numpy().reshape(count, frames) == classes[:, None]
    return right


def describe(judge: Judge, clips: NDArray[np.uint8], truth: Mapping[str, ArrayLike]) -> dict[str, Any]:
    """The figures of a set of clips, means over clips with their bootstrap intervals (see `metrics.bootstrap`).

    ``right`` is the share of right frames, ``last`` that of clips whose last frame is right, ``through`` that of clips
    right in every frame, ``by_frame`` the share at each frame; ``jump`` is `temporal_jump`, ``movement`` in levels.
    """
    right = right_frames(judge, clips, truth)
    features = judge.features(clips.reshape(-1, *clips.shape[2:])).numpy().reshape(*clips.shape[:2], -1)
    values = {
        "right": right.mean(axis=1), "last": right[:, -1], "through": right.min(axis=1),
        "jump": temporal_jump(features), "movement": movement(clips),
    }  # fmt: skip
    return {name: bootstrap(value) for name, value in values.items()} | {"by_frame": right.mean(axis=0).tolist()}


def smoother(judge: Judge, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Interval:
    """By how much `temporal_jump` is lower in ``first`` than in ``second``, the same clips drawn in two ways."""

    def jump(clips: NDArray[np.uint8]) -> Array:
        features = judge.features(clips.reshape(-1, *clips.shape[2:])).numpy()
        return temporal_jump(features.reshape(*clips.shape[:2], -1))

    return paired_difference(jump(second), jump(first))
