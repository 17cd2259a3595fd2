"""The storyworld's judge as a network for metrics: a small CNN that was trained on this world's true pictures alone.

It is not in the wheel: a checkout has it (``bench/storyworld/judge``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..quality.metric import Metric
from ..quality.metrics.consistency import Consistency
from ..quality.metrics.distances import Frechet
from ..quality.network import Compute, MissingWeights, Network

FOLDER = Path(__file__).parents[1] / "storyworld" / "judge"
FILE = "judge.safetensors"


class JudgeFeatures(Network):
    """Its last feature before the heads, as :class:`..quality.network.Network`."""

    name = "storyworld judge"
    preprocessing = "grayscale, antialiased to 64 px, zero mean and unit spread"
    batch = 64

    def files(self) -> Mapping[str, Path]:
        """The weights of a checkout."""
        path = FOLDER / "weights" / FILE
        if not path.is_file():
            raise MissingWeights(FILE, "bench/storyworld/judge/weights of a checkout of the repository")
        return {FILE: path}

    def load(self, device: torch.device) -> Compute:
        """As :class:`..quality.network.Network`."""
        judge = import_module("..storyworld.judge.judge", __package__).load(device=str(device))

        def compute(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
            features = judge.features([Image.fromarray(picture) for picture in pictures])
            return np.asarray(features.numpy(), dtype=np.float32)

        return compute


def judge_metrics() -> dict[str, Metric]:
    """Metrics by the judge, by name."""
    found: list[Metric] = [
        Consistency(
            "consistency-judge", "mean cosine of neighbouring frames by the storyworld's judge", JudgeFeatures()
        ),
        Frechet("fd-judge", "Frechet distance by the storyworld's judge, not FID", JudgeFeatures()),
    ]
    return {metric.name: metric for metric in found}
